"""Asset checks."""

import dagster as dg
import pandas as pd

from .assets import items, texts


@dg.asset_check(asset=items, additional_ins={"texts": dg.AssetIn(texts.key)})
def every_note_was_read(items: pd.DataFrame, texts: pd.DataFrame) -> dg.AssetCheckResult:
    """Every PDF file is a delivery note with at least one item."""
    unread = sorted(set(texts["file"]) - set(items["file"]))
    return dg.AssetCheckResult(passed=not unread, metadata={"files": unread})


@dg.asset_check(asset=items)
def no_note_comes_twice(items: pd.DataFrame) -> dg.AssetCheckResult:
    """Each note is in one file."""
    files = items.groupby("note")["file"].nunique()
    twice = sorted(files[files > 1].index)
    return dg.AssetCheckResult(passed=not twice, metadata={"notes": twice})


CHECKS = [every_note_was_read, no_note_comes_twice]

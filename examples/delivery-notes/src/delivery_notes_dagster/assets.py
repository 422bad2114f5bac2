"""From PDF files on an SFTP server to one row for each item delivered."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg
import pandas as pd

from . import NAME
from .notes import items_of, text_of
from .sftp import SftpFolder

COLUMNS = ["file", "note", "delivered_on", "article", "quantity", "name"]


@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    kinds={"pdf", "sftp"},
    retry_policy=dg.RetryPolicy(max_retries=3, delay=1, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS),
)
def texts(notes: SftpFolder) -> pd.DataFrame:
    """The text of every PDF file in the folder."""
    with TemporaryDirectory() as folder:
        notes.copy_to(Path(folder, "notes"))
        files = sorted(Path(folder, "notes").rglob("*.pdf"))
        return pd.DataFrame([(file.name, text_of(file)) for file in files], columns=["file", "text"])


@dg.asset(
    key_prefix=NAME,
    group_name=NAME,
    ins={"texts": dg.AssetIn(key_prefix=NAME)},
    kinds={"pandas"},
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48), warn_window=timedelta(hours=30)),
)
def items(texts: pd.DataFrame) -> pd.DataFrame:
    """What was delivered: one row for each line of a note."""
    rows = [{"file": file, **item} for file, text in texts.itertuples(index=False) for item in items_of(text)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(delivered_on=pd.to_datetime(table["delivered_on"]), quantity=table["quantity"].astype("int64"))


ASSETS = [texts, items]

"""A registry that was edited by hand: refused with its place, or used without what is missing."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.workspaces import listing, sync
from dagster_module_builder.workspaces.add import add_module
from tests.engine.folders import FIRST_PORT, make_module, make_workspace


@pytest.mark.parametrize("value", [None, 7, [1], {"a": 1}, "x", ...], ids=repr)
def test_no_field_of_an_entry_is_taken_for_granted(tmp_path: Path, value: object) -> None:
    """FAULTS E7: each field missing (...) or of another type."""
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo", FIRST_PORT)
    add_module(root, "seo")
    file = root / settings.REGISTRY
    data = json.loads(file.read_text())
    (entry,) = data["integrated_modules"]
    for key in entry:
        edited = {name: text for name, text in entry.items() if name != key} | ({} if value is ... else {key: value})
        file.write_text(json.dumps({**data, "integrated_modules": [edited]}))
        # Anything but a refusal is a fault.
        with contextlib.suppress(BuilderError):
            listing.listing(root)
            sync.sync(root, dry_run=True)

"""When native runs last materialized a module's assets, as the instance's own tables say, without starting Dagster."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from dagster_module_builder.native.native_folder import HOME

#: The event of each asset's last materialization; observations and plans are not among them.
_QUERY = "SELECT asset_key, last_materialization FROM asset_keys WHERE last_materialization IS NOT NULL"
_INDEX = HOME / "history/runs/index.db"


def native_materializations(root: Path) -> dict[str, datetime]:
    """Return when an asset was last materialized natively, by the first part of the assets' keys.

    Modules of the template have their location's name there. Nothing is written, and nothing is locked. Returns
    nothing where the tables cannot be read: they are Dagster's, and other versions may have others.
    """
    latest: dict[str, datetime] = {}
    try:
        for prefix, time in _events(root / _INDEX):
            latest[prefix] = max(latest.get(prefix, time), time)
    except (sqlite3.Error, OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
    return latest


def _events(file: Path) -> Iterator[tuple[str, datetime]]:
    if not file.is_file():
        return
    # Without a log of changes that are not merged yet, nothing has it open: SQLite need not make files beside it, which
    # it would do even for reading (https://www.sqlite.org/wal.html#read_only_databases).
    mode = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{file.absolute().as_uri()}?{mode}", uri=True, timeout=0.2)) as connection:
        for key, text in connection.execute(_QUERY).fetchall():
            event = json.loads(text)
            # Earlier versions wrote the entry alone.
            entry = event.get("event_log_entry", event)
            yield json.loads(key)[0], datetime.fromtimestamp(float(entry["timestamp"]), timezone.utc)

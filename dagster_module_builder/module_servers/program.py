"""The command line, and what is imported before the first fork."""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
from collections.abc import Sequence
from pathlib import Path

#: What a server of Dagster imports, however small its code; each fork shares it.
_OF_DAGSTER = (
    "dagster", "dagster._cli.api", "dagster._core.instance", "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.sqlite_storage", "dagster._core.workspace.context", "dagster._core.workspace.load",
    "dagster._daemon.controller", "dagster._grpc.client", "dagster._grpc.server", "grpc._interceptor", "grpc._server",
    "grpc_health.v1.health", "dotenv",
)  # fmt: skip
#: What instances and many modules import, where it is installed. Not Polars, which has threads: no fork has them.
_WIDELY_USED = (
    "alembic.command", "dagster_postgres", "fsspec.implementations.local", "numpy", "pandas", "psycopg2", "pyarrow",
    "pyarrow.parquet", "pygments.lexers.python", "rich.traceback", "sqlalchemy.dialects.sqlite", "sqlite3",
    "structlog", "upath.core", "upath.implementations.local", "watchdog.observers",
)  # fmt: skip


def main(line: Sequence[str] | None = None) -> int:
    """Import what all servers need, then keep them; return the exit status."""
    parser = argparse.ArgumentParser("module_servers", description="Serve all code locations of a workspace file.")
    parser.add_argument("--workspace", type=Path, required=True, help="the workspace file to read")
    parser.add_argument(
        "--served", type=Path, required=True, help="the workspace file to write for Dagster's processes"
    )
    parser.add_argument("--sockets", type=Path, required=True, help="the folder of the servers' sockets")
    parser.add_argument("--memory", type=int, default=0, help="MiB that each server may allocate; 0 for no limit")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds that a server may take to listen")
    apart = parser.add_argument_group("to keep modules apart from each other, as root in a container")
    apart.add_argument("--original", type=Path, help="the workspace as its owner has it, where only root can enter")
    apart.add_argument("--copy", type=Path, help="the folder in which each server finds the code of its module")
    apart.add_argument("--variables", type=Path, help="the owner's file of variables, with a block for each module")
    apart.add_argument("--users", type=Path, help="the file that remembers the numbers of the modules' users")
    apart.add_argument("--logs", type=Path, help="the folder in which runs write their logs")
    parser.add_argument("--ready", type=Path, help="a file to make when the locations are served")
    parser.add_argument("command", nargs="*", help="what to start when the locations are served")
    arguments = parser.parse_args(line)
    _import_all()
    from .keeper import Keeper, options_of

    return Keeper(options_of(arguments)).run()


def _import_all() -> None:
    for name in _OF_DAGSTER:
        importlib.import_module(name)
    for name in _WIDELY_USED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Collecting garbage would write into pages that the forks share.
    gc.collect()
    gc.freeze()

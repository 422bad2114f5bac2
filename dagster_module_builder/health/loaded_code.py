"""Which modules' code has changed since a running Dagster loaded it.

Two times are compared: when the webserver loaded a location, and when a file of the module's source last changed. A
change of content always sets the inode's change time, even if a file is moved or copied with an older date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from dagster_module_builder.compose import config
from dagster_module_builder.native.location_entries import LocationEntry


def changed_at(module: Path) -> datetime:
    """Return when the source or the requirements of a module last changed."""
    source = module / "src"
    times = [_changed(path) for path in _files(source if source.is_dir() else module)]
    return datetime.fromtimestamp(max([*times, *map(_changed, _stating(module)), 0.0]), timezone.utc)


def _stating(module: Path) -> Iterator[Path]:
    yield from (path for name in ("pyproject.toml", "setup.py", "setup.cfg") if (path := module / name).is_file())


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        # Files that starting and testing the code writes are not code.
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield Path(place)
        yield from (Path(place) / name for name in files if not name.endswith(".pyc"))


def _changed(path: Path) -> float:
    try:
        status = path.stat()
    except OSError:
        # A broken link, or a file that has just been deleted.
        return 0.0
    # A folder's modification time shows deletions.
    return status.st_mtime if path.is_dir() else max(status.st_mtime, status.st_ctime)


def is_mounted(root: Path, module: Path, location: LocationEntry, code_services: list[str]) -> bool:
    """Return whether the container that loads a location mounts the module's code, instead of having a copy.

    Raises:
        ToolError: Compose failed.
    """
    server = location.entry.get("grpc_server")
    names = [str(server.get("host"))] if isinstance(server, dict) else code_services
    shown = config.bind_mounts(root)
    # A code server where modules are kept apart mounts the code alone.
    code = [module.resolve(), (module / "src").resolve()]
    mounted = [source.resolve() for name in names for source in shown.get(name, ())]
    return any(folder.is_relative_to(source) for folder in code for source in mounted)

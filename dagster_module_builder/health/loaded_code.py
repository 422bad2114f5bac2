"""Which modules' code has changed since a running Dagster loaded it.

Asked of the times: when the webserver loaded a location, and when a file of the module's source was changed last. A
change of content always sets the time of the inode, also where a file is moved or copied into place with an older date.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from dagster_module_builder.compose import config
from dagster_module_builder.native.native_environment import Location


def changed_at(module: Path) -> datetime:
    """Return when the source of a module, or what it requires, was changed last."""
    source = module / "src"
    times = [_changed(path) for path in _files(source if source.is_dir() else module)]
    return datetime.fromtimestamp(max([*times, *map(_changed, _stating(module)), 0.0]), timezone.utc)


def _stating(module: Path) -> Iterator[Path]:
    yield from (path for name in ("pyproject.toml", "setup.py", "setup.cfg") if (path := module / name).is_file())


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        # What starting and testing the code writes is not the code.
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield Path(place)
        yield from (Path(place) / name for name in files if not name.endswith(".pyc"))


def _changed(path: Path) -> float:
    try:
        status = path.stat()
    except OSError:
        # A link that leads nowhere, or a file that has just gone.
        return 0.0
    # A folder's time shows what was taken out of it.
    return status.st_mtime if path.is_dir() else max(status.st_mtime, status.st_ctime)


def is_mounted(root: Path, module: Path, location: Location, code_services: list[str]) -> bool:
    """Tell whether the container that loads a location sees the module's folder as it is now, and not as it was built.

    Raises:
        ToolError: Compose does not say.
    """
    server = location.entry.get("grpc_server")
    names = [str(server.get("host"))] if isinstance(server, dict) else code_services
    shown = config.bind_mounts(root)
    folder = module.resolve()
    return any(folder.is_relative_to(source.resolve()) for name in names for source in shown.get(name, ()))

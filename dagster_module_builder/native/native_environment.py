"""Running code without Docker: the workspace's location entries, and environments with their requirements."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError, NoWorkspaceError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.modules.dagster_check import CONSTRAINTS, pyproject_of
from dagster_module_builder.modules.hashes import HASHES, with_hashes
from dagster_module_builder.programs import uv_program
from dagster_module_builder.shared_files.formats.yaml_text import loaded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

FOLDER = Path(".native")
HOME = FOLDER / "home"
_URL = FOLDER / "url"

#: Addresses that need no proxy.
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

_MARK = ".made-from"
_PACKAGES = ("dagster", "dagster-webserver")
_INSTANCE = """\
# Dagster's instance for runs without Docker; its tables are SQLite files in this folder.
telemetry:
  enabled: false
"""


@dataclass(frozen=True)
class LocationEntry:
    """An entry of the workspace file; ``module`` is the folder of its module, if it has one."""

    entry: Mapping[str, Any]
    module: Path | None = None
    own_server: bool = False


def locations(root: Path) -> list[LocationEntry]:
    """Return the entries of the workspace file with their modules.

    Raises:
        NoWorkspaceError: There is no workspace at ``root``.
        DamagedFileError: Dagster could not read its workspace file.
    """
    file = root / settings.SERVICES / "workspace.yaml"
    if not file.is_file():
        raise NoWorkspaceError(root)
    entries = _entries(file)
    modules = {ModuleNames(path.name).snake: path for path in sorted((root / settings.PROJECTS).glob("*/"))}
    return [_location(entry, modules, file.parent) for entry in entries]


def _entries(file: Path) -> list[dict[str, Any]]:
    data = loaded(file, file.read_bytes())
    try:
        entries = (data or {}).get("load_from") or []
        if all(isinstance(entry, dict) and entry for entry in entries):
            return list(entries)
    except (AttributeError, TypeError):
        raise DamagedFileError(file, None, "Dagster cannot read this YAML", "Fix it by hand.") from None
    raise DamagedFileError(file, None, "an entry of load_from is not a mapping", "Fix it by hand.")


def _location(entry: Mapping[str, Any], modules: Mapping[str, Path], services: Path) -> LocationEntry:
    kind, details = next(iter(entry.items()))
    if not isinstance(details, dict):
        return LocationEntry(entry)
    if kind == "grpc_server":
        module = modules.get(str(details.get("location_name")))
        return LocationEntry(entry, module, own_server=module is not None)
    working_directory = details.get("working_directory")
    if working_directory is None:
        return LocationEntry(entry, modules.get(str(details.get("location_name"))))
    source = Path(os.path.normpath(services / working_directory))
    return LocationEntry(entry, source.parent if pyproject_of(source.parent).is_file() else None)


def shared_modules(root: Path) -> list[Path]:
    """Return the folders of the integrated modules that share one environment."""
    return [location.module for location in locations(root) if location.module is not None and not location.own_server]


def has_own_server(root: Path, module: Path) -> bool:
    """Return whether an integrated module has its own code server."""
    return any(location.own_server for location in locations(root) if location.module == module)


def shared_environment(root: Path, also: Path | None = None) -> Path:
    """Create or update the environment of all modules without their own code server; return its Python.

    Args:
        root: The workspace's root.
        also: A module that is not integrated and needs the environment, too.
    """
    modules = shared_modules(root)
    return _environment(root, FOLDER / "venv", [*modules, *([also] if also and also not in modules else [])])


def own_environment(root: Path, module: Path) -> Path:
    """Create or update the environment of a module with its own code server; return its Python."""
    return _environment(root, FOLDER / module.name / "venv", [module])


def _environment(root: Path, folder: Path, modules: Sequence[Path]) -> Path:
    where = root / folder
    python = where / "bin" / "python"
    _make_home(root)
    requirements = [pyproject_of(module) for module in modules if pyproject_of(module).is_file()]
    locks = [root / CONSTRAINTS, *filter(Path.is_file, [(root / CONSTRAINTS).with_name(HASHES)])]
    inputs = _digest([*locks, *requirements])
    with FileLock(root / FOLDER / ".lock", mode=0o600):
        if python.exists() and _read(where / _MARK) == inputs:
            return python
        (where / _MARK).unlink(missing_ok=True)
        if not python.exists():
            uv_program.run(["venv", "--quiet", "--clear", "--python", sys.executable, str(where)], root)
        files = [argument for file in requirements for argument in ("--requirement", str(file))]
        lock = _locking(root)
        uv_program.run(["pip", "install", "--quiet", "--python", str(python), *lock, *files, *_PACKAGES], root)
        (where / _MARK).write_text(inputs)
    return python


def _locking(root: Path) -> list[str]:
    """Return the arguments by which uv takes the workspace's versions, and looks at their hashes."""
    file = root / CONSTRAINTS
    if not file.is_file():
        return []
    own = file.read_text("utf-8", "replace")
    text = with_hashes(own, _read(file.with_name(HASHES)) or "")
    if text != own:
        file = root / FOLDER / file.name
        file.write_text(text, "utf-8")
    return ["--constraint", str(file)]


def make_private_folder(root: Path) -> Path:
    """Create the folder for running without containers, which only its owner may read, and return it.

    Dagster stores the modules' logs in it. Files and locks of other programs in it have the modes that they set.
    """
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        with suppress(PermissionError):  # The folder may have another owner.
            folder.chmod(0o700)  # An earlier version created it.
    return folder


def _make_home(root: Path) -> None:
    make_private_folder(root)
    home = root / HOME
    home.mkdir(exist_ok=True)
    for file, text in ((root / FOLDER / ".gitignore", "*\n"), (home / "dagster.yaml", _INSTANCE)):
        if not file.exists():
            file.write_text(text)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"{sys.executable} {sys.version} {_PACKAGES}".encode())
    for file in files:
        content = file.read_bytes() if file.is_file() else b""
        digest.update(f"{file} {len(content)}".encode() + content)
    return digest.hexdigest()


def _read(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None


def process_environment(root: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for a native Dagster process; its working directory is ``services/dagster``."""
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    past_proxies = ",".join(dict.fromkeys([*filter(None, excepted.split(",")), *_THIS_MACHINE]))
    return {
        **environ,
        # Dagster's processes talk over HTTP and gRPC; programs read one spelling or the other.
        "no_proxy": past_proxies,
        "NO_PROXY": past_proxies,
        "DAGSTER_HOME": str(root / HOME),
        "DAGSTER_STORAGE_DIR": environ.get("DAGSTER_STORAGE_DIR") or str(root / settings.DATA / "storage"),
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def announced(root: Path, url: str) -> Iterator[None]:
    """Record the address of Dagster's page for other commands while Dagster runs natively."""
    file = root / _URL
    file.write_text(url)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def dev_url(root: Path) -> str | None:
    """Return the recorded address of Dagster's page, or None; it may remain after a crash."""
    return _read(root / _URL)

"""Running code without Docker: environments with the requirements of the workspace's code."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values
from filelock import FileLock

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.modules.dagster_check import CONSTRAINTS, pyproject_of
from dagster_module_builder.modules.hashes import HASHES, with_hashes
from dagster_module_builder.modules.static_requirements import statement_of
from dagster_module_builder.native.location_entries import is_as_made, locations
from dagster_module_builder.native.native_folder import FOLDER, HOME
from dagster_module_builder.programs import uv_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HOME = "DAGSTER_HOME"

#: Addresses that need no proxy.
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

_MARK = ".made-from"
_PACKAGES = ("dagster", "dagster-webserver")
_FORMER_INSTANCE = """\
# Dagster's instance for runs without Docker; its tables are SQLite files in this folder.
telemetry:
  enabled: false
"""
_INSTANCE = f"""\
{_FORMER_INSTANCE}# A run that hangs ends after a day, unless it has a tag dagster/max_runtime.
run_monitoring:
  enabled: true
  max_runtime_seconds: 86400
  free_slots_after_run_end_seconds: 300
"""


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


def project_python(root: Path, project: Path) -> Path:
    """Return the Python for a project of the owner's: its environment's, else that of one made for its requirements.

    Raises:
        ToolError: The requirements cannot be read, or not be installed.
    """
    for folder in (project, *(each for each in project.parents if each.is_relative_to(root))):
        if any((folder / ".venv").glob("lib/python*/site-packages/dagster/__init__.py")):
            return folder / ".venv" / "bin" / "python"
    listed = project / "requirements.txt"
    states = any((project / name).is_file() for name in ("pyproject.toml", "setup.py", "setup.cfg"))
    lines = () if not states else statement_of(project, root).requirements
    make_private_folder(root)
    name = f"{project.name}-{hashlib.sha256(os.fsencode(project.absolute())).hexdigest()[:8]}"
    file = root / FOLDER / f"{name}.txt"
    file.write_text("\n".join(lines) + "\n")
    return _made(root, FOLDER / name / "venv", [file, *([listed] if listed.is_file() else [])], locked=False)


def _environment(root: Path, folder: Path, modules: Sequence[Path]) -> Path:
    return _made(root, folder, [pyproject_of(module) for module in modules if pyproject_of(module).is_file()])


def _made(root: Path, folder: Path, requirements: Sequence[Path], *, locked: bool = True) -> Path:
    """Create or update an environment with Dagster and what these files require; return its Python."""
    where = root / folder
    python = where / "bin" / "python"
    _make_home(root)
    locks = [root / CONSTRAINTS, *filter(Path.is_file, [(root / CONSTRAINTS).with_name(HASHES)])] if locked else []
    inputs = _digest([*locks, *requirements])
    with FileLock(root / FOLDER / ".lock", mode=0o600):
        if python.exists() and _read(where / _MARK) == inputs:
            return python
        (where / _MARK).unlink(missing_ok=True)
        if not python.exists():
            uv_program.run(["venv", "--quiet", "--clear", "--python", sys.executable, str(where)], root)
        files = [argument for file in requirements for argument in ("--requirement", str(file))]
        lock = _locking(root) if locked else []
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
        # An earlier version's is brought up to date; what a person wrote stays.
        if not file.exists() or file.read_text("utf-8", "replace") == _FORMER_INSTANCE:
            file.write_text(text)


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256(f"{sys.executable} {sys.version} {_PACKAGES}".encode())
    for file in files:
        content = file.read_bytes() if file.is_file() else b""
        digest.update(f"{file} {len(content)}".encode() + content)
    return digest.hexdigest()


def _read(file: Path) -> str | None:
    return file.read_text() if file.is_file() else None


def process_folder(root: Path) -> Path:
    """Return the working directory of native Dagster processes.

    Dagster reads the ``.env`` there over its other variables. That of a workspace of other people's may name folders of
    containers, or the instance of a Dagster that runs already, so processes start where there is none.
    """
    layout = layout_of(root)
    if is_as_made(layout) or not (layout.has_compose or _HOME in dotenv_values(layout.dagster_folder / ".env")):
        return layout.dagster_folder
    return make_private_folder(root)


def process_environment(root: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for a native Dagster process, which starts in ``process_folder``."""
    layout = layout_of(root)
    stated = dotenv_values(layout.env_file) if layout.env_file.parent != process_folder(root) else {}
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    past_proxies = ",".join(dict.fromkeys([*filter(None, excepted.split(",")), *_THIS_MACHINE]))
    return {
        **{name: value for name, value in stated.items() if value is not None},
        **environ,
        # Dagster's processes talk over HTTP and gRPC; programs read one spelling or the other.
        "no_proxy": past_proxies,
        "NO_PROXY": past_proxies,
        _HOME: str(root / HOME),
        "DAGSTER_STORAGE_DIR": environ.get("DAGSTER_STORAGE_DIR") or str(layout_of(root).data / "storage"),
        "PYTHONUNBUFFERED": "1",
    }

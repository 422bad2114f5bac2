"""An environment for one module alone: to load it, to run its tests, to try another version of Dagster."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.modules.code_location import pyproject, table
from dagster_module_builder.modules.dagster_check import CONSTRAINTS, pyproject_of
from dagster_module_builder.modules.legacy_requirements import SETUP_CFG, SETUP_PY
from dagster_module_builder.modules.poetry_requirements import poetry_requirements
from dagster_module_builder.modules.stating import stating_of
from dagster_module_builder.programs import uv_program
from dagster_module_builder.transactions import module_files

_MARK = ".made-from"


def environment_of(root: Path, module: Path, *, tests: bool = False, dagster: str | None = None) -> Path:
    """Make or update an environment that holds a module's requirements; return its Python.

    Args:
        root: The workspace's root, whose lock is used unless another version is tried.
        module: The module's folder.
        tests: Also install pytest and the module's extra ``dev``.
        dagster: A version of Dagster, instead of the locked and the required one.

    Raises:
        ToolError: uv failed; with its own words.
    """
    wanted = [*_requirements(module, tests=tests), f"dagster=={dagster}" if dagster else "dagster"]
    lock = root / CONSTRAINTS
    locked = ["--constraint", str(lock)] if lock.is_file() and not dagster else []
    return _made(module, [*locked, *wanted, *(["pytest"] if tests else [])], dagster)


def _requirements(module: Path, *, tests: bool) -> Sequence[str]:
    stating = stating_of(module)
    if stating.kind == "poetry":
        return poetry_requirements(pyproject(module))[0]
    if stating.kind == "setup":
        setup = next(path for name in (SETUP_PY, SETUP_CFG) if (path := module / name).is_file())
        return ["--requirement", str(setup)]
    if stating.kind not in {"project", "computed"}:
        return ["--requirement", str(module / stating.file)] if stating.file else []
    has_dev = tests and "dev" in table(pyproject(module), "project", "optional-dependencies")
    return ["--requirement", str(pyproject_of(module)), *(["--extra", "dev"] if has_dev else [])]


def _stating(module: Path) -> Sequence[Path]:
    named = stating_of(module).file
    return [pyproject_of(module), module / SETUP_PY, module / SETUP_CFG, *([module / named] if named else [])]


def _made(module: Path, arguments: Sequence[str], dagster: str | None) -> Path:
    content = b"".join(module_files.read(module, path) or b"" for path in _stating(module))
    identity = hashlib.sha256(f"{sys.executable} {module} {list(arguments)}".encode() + content).hexdigest()
    folder = cache_folder() / "environments" / f"{module.name}-{identity[:16]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with FileLock(f"{folder}.lock", mode=0o600):
        if not (folder / _MARK).is_file():
            uv_program.run(["venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], module)
            options = [*arguments, *_override(folder, dagster)]
            uv_program.run(["pip", "install", "--quiet", "--python", str(python), *options], module)
            (folder / _MARK).touch()
    return python


def _override(folder: Path, dagster: str | None) -> list[str]:
    """Return the options by which a version overrides the module's requirement."""
    if dagster is None:
        return []
    file = folder / "override.txt"
    file.write_text(f"dagster=={dagster}\n")
    return ["--override", str(file)]


def refuse_unpublished(dagster: str) -> None:
    """Ask the package index for a version of Dagster; if it does not answer, the version is accepted.

    Raises:
        RefusedError: There is no such version.
    """
    with tempfile.TemporaryDirectory() as folder:
        published, newest = (_version_for(wanted, Path(folder)) for wanted in (f"dagster=={dagster}", "dagster"))
    if published is None and newest is not None:
        raise RefusedError(f"Dagster {dagster} is not published. The newest is {newest}.")


def _version_for(wanted: str, folder: Path) -> str | None:
    options = ["--no-deps", "--no-header", "--no-annotate", "--quiet", "--output-file", "resolved.txt"]
    code, _ = uv_program.ask(["pip", "compile", *options, "-"], folder, f"{wanted}\n")
    return None if code else (folder / "resolved.txt").read_text("utf-8").strip().rpartition("==")[2]

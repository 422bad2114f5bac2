"""The environment that a project already has: beside it, or where uv, Poetry or PDM keep it.

Asking for it runs programs in the project's folder, and its Python: the project has to be trusted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.modules.code_location import pyproject, table
from dagster_module_builder.programs import outside_programs, uv_program
from dagster_module_builder.transactions import module_files

_BESIDE = (".venv", "venv", "env")
#: How long a program may take to say where an environment is, or to import Dagster, in seconds.
_LIMIT = 120.0


def own_python(module: Path) -> Path | None:
    """Return the Python of a project's own environment; None if it has none with Dagster."""
    return next((python for python in _pythons(module) if _has_dagster(python, module)), None)


def _pythons(module: Path) -> Iterator[Path]:
    for folder in (*(module / name for name in _BESIDE), *_of_uv_workspace(module)):
        if (folder / "pyvenv.cfg").is_file():
            yield folder / "bin" / "python"
    yield from _of_pdm(module)
    yield from _of_poetry(module)
    yield from _of_uv(module)


def _of_uv_workspace(module: Path) -> Iterator[Path]:
    """Yield the environments of the uv workspaces that a module may be a member of."""
    for folder in module.parents:
        if table(pyproject(folder), "tool", "uv", "workspace"):
            yield folder / ".venv"


def _of_pdm(module: Path) -> Iterator[Path]:
    if named := (module_files.text(module, module / ".pdm-python") or "").strip():
        yield Path(named)


def _of_poetry(module: Path) -> Iterator[Path]:
    uses_poetry = (module / "poetry.lock").is_file() or table(pyproject(module), "tool", "poetry")
    is_there = uses_poetry and outside_programs.is_installed("poetry")
    if found := _answer(["poetry", "env", "info", "--path"], module) if is_there else "":
        yield Path(found) / "bin" / "python"


def _of_uv(module: Path) -> Iterator[Path]:
    """Make the environment that ``uv run`` would use, but outside the project."""
    if not (module / "uv.lock").is_file():
        return
    lock = module_files.read(module, module / "uv.lock") or b""
    identity = hashlib.sha256(os.fsencode(module) + b"\0" + lock).hexdigest()
    folder = cache_folder() / "environments" / f"{module.name}-uv-{identity[:16]}"
    try:
        synced, _ = uv_program.ask(
            ["sync", "--quiet", "--frozen", "--no-install-project"],
            module,
            environment={"UV_PROJECT_ENVIRONMENT": str(folder)},
        )
    except ToolError:
        return
    if synced == 0:
        yield folder / "bin" / "python"


#: Prints whether Dagster is installed, without the seconds that importing it takes.
_FINDING = "import importlib.util; print(importlib.util.find_spec('dagster') is not None)"


def _has_dagster(python: Path, module: Path) -> bool:
    return os.access(python, os.X_OK) and _answer([str(python), "-I", "-c", _FINDING], module) == "True"


def _answer(command: Sequence[str], module: Path) -> str:
    """Return what a program prints; empty if it fails."""
    environ = {**outside_programs.without_active_environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        found = outside_programs.ask(
            command, answers=outside_programs.ANY, folder=module, environ=environ, limit=_LIMIT
        )
    except ToolError:
        return ""
    return found.text.strip() if found.status == 0 else ""


#: Prints those of its arguments that are not installed.
_LACKING = """
import sys
from importlib import metadata
for name in sys.argv[1:]:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        print(name)
"""


def packages_beside(python: Path, module: Path, wanted: Sequence[str]) -> Path | None:
    """Install what an environment lacks of some requirements into another folder; None if it lacks nothing.

    The environment itself is the project's, and stays as it is.

    Args:
        python: The environment's Python.
        module: The module's folder.
        wanted: The requirements, such as ``pandas>=2.2``.

    Raises:
        ToolError: uv could not install them.
    """
    named = {_name(requirement): requirement for requirement in wanted}
    lacking = _answer([str(python), "-I", "-c", _LACKING, *named], module).split()
    if not lacking:
        return None
    installed = _frozen(python, module)
    identity = hashlib.sha256("\n".join([str(python), *installed, *lacking]).encode()).hexdigest()
    folder = cache_folder() / "environments" / f"{module.name}-beside-{identity[:16]}"
    versions = folder.with_suffix(".txt")
    versions.parent.mkdir(parents=True, exist_ok=True)
    versions.write_text("\n".join(installed) + "\n", "utf-8")
    target = ["--python", str(python), "--target", str(folder), "--constraint", str(versions)]
    uv_program.run(["pip", "install", "--quiet", *target, *(named[name] for name in lacking)], module)
    return folder


def _name(requirement: str) -> str:
    return requirement.partition(">")[0].partition("=")[0].partition("[")[0].strip()


def _frozen(python: Path, module: Path) -> list[str]:
    """Return the versions that an environment has: ``["dagster==1.13.27"]``."""
    listed = "from importlib import metadata; [print(f'{d.name}=={d.version}') for d in metadata.distributions()]"
    return sorted(set(_answer([str(python), "-I", "-c", listed], module).split()))

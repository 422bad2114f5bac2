"""The workspace without Docker: its environment, and ``workspace.materialize``."""

from __future__ import annotations

import io
import json
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotenv import dotenv_values

from dagster_module_builder.base import ports, settings
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.native import native_materialize
from dagster_module_builder.native.location_entries import locations
from dagster_module_builder.native.native_environment import (
    has_own_server,
    own_environment,
    process_environment,
    process_folder,
    shared_environment,
)
from dagster_module_builder.native.native_folder import HOME
from dagster_module_builder.native.native_storage import make_storage
from dagster_module_builder.native.native_workspace import workspace_file
from dagster_module_builder.programs import outside_programs, shown_programs
from dagster_module_builder.transactions import module_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Database:
    """A module's database server from the env file, with the command that starts it, if Compose does."""

    service: str
    port: int
    command: str


@dataclass(frozen=True)
class Materialized:
    """A stored asset: its number of rows and its path, if its IO manager reports them."""

    asset: str
    rows: int | None
    path: str | None


@dataclass(frozen=True)
class Checked:
    """The result of an asset check."""

    check: str
    asset: str
    passed: bool
    severity: str


@dataclass(frozen=True)
class MaterializeResult:
    """The stored assets and evaluated checks of one ``materialize``."""

    assets: tuple[Materialized, ...]
    checks: tuple[Checked, ...]


@dataclass(frozen=True)
class Prepared:
    """What native processes need: the shared environment's Python, the workspace file, and what that leaves out."""

    python: Path
    workspace: Path
    left_out: tuple[str, ...] = ()


def prepare(root: Path) -> Prepared:
    """Create or update the environments, and the workspace file for native processes."""
    python = shared_environment(root)
    for location in locations(root):
        if location.own_server and location.module is not None:
            own_environment(root, location.module)
    return Prepared(python, *workspace_file(root))


def databases_down(root: Path) -> list[Database]:
    """Return the modules' database servers that do not answer on this machine."""
    layout = layout_of(root)
    known = dotenv_values(layout.env_file)
    databases = []
    for name, value in known.items():
        if not name.endswith("_DB_PORT") or not (value or "").isdigit() or ports.is_listening(int(value or 0)):
            continue
        service = name.removesuffix("_PORT").lower()
        folder = shlex.quote(str(layout.project_folder))
        command = f"docker compose --project-directory {folder} up --detach {service}" if layout.has_compose else ""
        databases.append(Database(service, int(value or 0), command))
    return databases


def _python_for(root: Path, module: Path) -> Path:
    if has_own_server(root, module):
        return own_environment(root, module)
    return shared_environment(root, also=module)


def materialize(
    root: Path, module: Path, select: str | None = None, partition: str | None = None, *, verbose: bool = False
) -> MaterializeResult:
    """Materialize a module's assets in one process; the run is stored, and ``workspace.dev`` shows it.

    Args:
        root: The workspace's root.
        module: The module's folder.
        select: An asset selection in Dagster's syntax; all assets by default.
        partition: The key of one partition, if the assets are partitioned.
        verbose: Whether to show Dagster's log on stderr.

    Raises:
        ToolError: The run failed; names each asset or check that failed, with the reason.
    """
    python, environ = _python_for(root, module), process_environment(root)
    make_storage(root, python)
    request = {
        "definitions": ModuleNames(module.name).definitions,
        "source": str(module / "src"),
        "home": str(root / HOME),
        "select": select,
        "partition": partition,
        "verbose": verbose,
    }
    run = _read_along if verbose else _in_silence
    asked = run(
        [python, native_materialize.__file__],
        json.dumps(request).encode(),
        process_folder(root),
        {**_fragment(module), **environ},
    )
    lines = [json.loads(line) for line in asked.out.splitlines()]
    if asked.status:
        raise ToolError(_failure(module.name, lines, asked.words))
    return _outcome(lines)


def _in_silence(
    command: Sequence[str | Path], request: bytes, folder: Path, environ: Mapping[str, str]
) -> outside_programs.Answer:
    return outside_programs.ask(
        command, named="The run", answers=outside_programs.ANY, stdin=request, folder=folder, environ=environ
    )


def _read_along(
    command: Sequence[str | Path], request: bytes, folder: Path, environ: Mapping[str, str]
) -> outside_programs.Answer:
    """Run a program, and show its standard error while it runs."""
    with tempfile.TemporaryFile() as file, tempfile.TemporaryFile() as results:
        file.write(request)
        file.seek(0)
        options = {"stdin": file, "stdout": results, "cwd": folder, "env": environ}
        with shown_programs.started(command, ("stderr",), **options) as running:
            status = running.wait()
        results.seek(0)
        return outside_programs.Answer(status, results.read(), b"")


def _fragment(module: Path) -> dict[str, str]:
    """Return the variables of a module's fragment; those of integrated modules are in the ``.env``, too."""
    text = module_files.read(module, module / settings.FRAGMENTS / ".env") or b""
    variables = dotenv_values(stream=io.StringIO(text.decode("utf-8", "replace")))
    return {name: value for name, value in variables.items() if value is not None}


def _outcome(lines: list[dict[str, Any]]) -> MaterializeResult:
    assets = [Materialized(line["asset"], line["rows"], line["path"]) for line in lines if "asset" in line]
    checks = [Checked(line["check"], line["of"], line["passed"], line["severity"]) for line in lines if "check" in line]
    return MaterializeResult(tuple(assets), tuple(checks))


def _failure(name: str, lines: list[dict[str, Any]], log: str) -> str:
    told = [(line.get("failed"), line["problem"]) for line in lines if "problem" in line]
    of_steps = {problem for failed, problem in told if failed != native_materialize.RUN}
    # A run fails with the reason of its step, which is already in the list.
    new = [(failed, problem) for failed, problem in told if failed != native_materialize.RUN or problem not in of_steps]
    problems = [f"{failed}: {problem}" if failed else problem for failed, problem in new]
    last = log.strip().splitlines()[-1:] or ["no reason was given"]
    return "\n".join([f"{name} was not materialized.", *(problems or last), "(--verbose shows Dagster's log.)"])

"""The workspace without Docker: its environment, ``workspace.dev`` and ``workspace.materialize``."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from dotenv import dotenv_values

from dagster_module_builder.base import ports, settings
from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.native import native_materialize
from dagster_module_builder.native.native_environment import (
    FOLDER,
    LocationEntry,
    announced,
    has_own_server,
    locations,
    make_private_folder,
    own_environment,
    process_environment,
    shared_environment,
)
from dagster_module_builder.native.native_storage import make_storage, only_one
from dagster_module_builder.programs import outside_programs, shown_programs
from dagster_module_builder.transactions import module_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

DERIVED_WORKSPACE = FOLDER / "workspace.yaml"


@dataclass(frozen=True)
class Database:
    """A module's database server from the env file, with the command that starts it."""

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


def workspace_file(root: Path) -> Path:
    """Return the workspace file for native processes: the original, or a derived one if modules have own servers."""
    entries = locations(root)
    if not any(location.own_server for location in entries):
        return root / settings.SERVICES / "workspace.yaml"
    derived = root / DERIVED_WORKSPACE
    make_private_folder(root)
    derived.write_text(yaml.safe_dump({"load_from": [native_entry(root, location) for location in entries]}))
    return derived


def native_entry(root: Path, location: LocationEntry) -> Mapping[str, Any]:
    """Return a location's entry in the workspace file for native processes."""
    if not location.own_server or location.module is None:
        return _where_it_is(root, location.entry)
    names = ModuleNames(location.module.name)
    return {
        "python_package": {
            "package_name": names.definitions,
            "working_directory": str(location.module / "src"),
            "location_name": names.snake,
            "executable_path": str(root / FOLDER / location.module.name / "venv" / "bin" / "python"),
        }
    }


def _where_it_is(root: Path, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry for a workspace file in another folder.

    Dagster resolves the paths of Python files relative to the workspace file, and those of packages relative to its
    working directory (``dagster._core.workspace.load``).
    """
    if "python_file" not in entry:
        return entry
    folder, python_file = root / settings.SERVICES, entry["python_file"]
    stated = {"relative_path": python_file} if isinstance(python_file, str) else python_file
    paths = {key: stated.get(key, ".") for key in ("relative_path", "working_directory")}
    return {"python_file": {**stated, **{key: os.path.normpath(folder / path) for key, path in paths.items()}}}


def prepare(root: Path) -> tuple[Path, Path]:
    """Create or update the environments; return the shared one's Python and the workspace file for native processes."""
    python = shared_environment(root)
    for location in locations(root):
        if location.own_server and location.module is not None:
            own_environment(root, location.module)
    return python, workspace_file(root)


def databases_down(root: Path) -> list[Database]:
    """Return the modules' database servers that do not answer on this machine."""
    services = root / settings.SERVICES
    known = dotenv_values(services / ".env")
    databases = []
    for name, value in known.items():
        if not name.endswith("_DB_PORT") or not (value or "").isdigit() or ports.is_listening(int(value or 0)):
            continue
        service = name.removesuffix("_PORT").lower()
        command = f"docker compose --project-directory {shlex.quote(str(services))} up --detach {service}"
        databases.append(Database(service, int(value or 0), command))
    return databases


def dev(root: Path, port: int = 3000, host: str = "127.0.0.1", *, starting: Callable[[], None] = lambda: None) -> int:
    """Run the workspace in the foreground until it is interrupted, and return the exit code of ``dagster dev``.

    Args:
        root: The workspace's root.
        port: The port of Dagster's page.
        host: The address that it listens on.
        starting: Called after the checks, before the environment is created.

    Raises:
        RefusedError: It is already running, or another program listens on the port.
    """
    with only_one(root):
        if ports.is_listening(port):
            raise RefusedError(f"The port {port} is taken by another program. Choose another with --port.")
        starting()
        python, workspace = prepare(root)
        make_storage(root, python)
        command = [
            str(python.parent / "dagster"), "dev", "-w", str(workspace), "-h", host, "-p", str(port),
            # Without it, it starts the code servers itself, and modules that are added later need a restart.
            "--use-legacy-code-server-behavior",
        ]  # fmt: skip
        options = {"cwd": root / settings.SERVICES, "env": process_environment(root)}
        with (
            shown_programs.started(command, ("stdout", "stderr"), **options) as dagster,
            _passing_signals_to(dagster.process),
            announced(root, f"http://{host}:{port}"),
        ):
            return dagster.wait()


@contextmanager
def _passing_signals_to(process: outside_programs.Process) -> Iterator[None]:
    """Ignore SIGINT, which the terminal also sends to the child, and pass SIGTERM on."""
    handlers: dict[signal.Signals, Any] = {
        signal.SIGINT: lambda *_: None,
        signal.SIGTERM: lambda *_: process.terminate(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
    python = _python_for(root, module)
    make_storage(root, python)
    request = {
        "definitions": ModuleNames(module.name).definitions,
        "source": str(module / "src"),
        "select": select,
        "partition": partition,
        "verbose": verbose,
    }
    run = _read_along if verbose else _in_silence
    asked = run(
        [python, native_materialize.__file__],
        json.dumps(request).encode(),
        root / settings.SERVICES,
        {**_fragment(module), **process_environment(root)},
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

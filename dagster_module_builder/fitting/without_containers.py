"""Fitting a module to a workspace whose Dagster runs on this machine, without containers.

Its code location is the only thing that is added, and its variables. What its fragments say of containers becomes notes
of what this machine must have.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.fitting.paths import moved_contribution
from dagster_module_builder.fitting.target_workspace import Contributions, body_of, load
from dagster_module_builder.shared_files.formats import compose, dg_toml, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.shared_file import Contribution

#: Where ``workspace.dev`` keeps a module's own environment, below the root.
_OWN_PYTHON = ".native/{}/venv/bin/python"

_APT = re.compile(r"\bapt(?:-get)?\s+(?:-\S+\s+)*install\s+([^&;|]+)")
#: Instructions that install the module's requirements, and find its code.
_USUAL = re.compile(
    r"COPY\s+\S+/(?:pyproject\.toml|setup\.py|setup\.cfg)\s|ENV\s+PYTHONPATH=|RUN\s+uv\s+pip\s+install\b"
)
_HAS_SERVER = {"POSTGRES_PASSWORD": "PostgreSQL", "MYSQL_PASSWORD": "MySQL", "MYSQL_ROOT_PASSWORD": "MySQL"}


@dataclass(frozen=True)
class NativeWorkspace:
    """A workspace without containers.

    Attributes:
        root: Its root.
        file: The file that lists its code locations.
        is_dg: Whether that is a file of ``dg``'s.
        own_text: The owner's lines of it.
        data: Their values, for a ``workspace.yaml``.
        env_file: Its file of variables.
    """

    root: Path
    file: Path
    is_dg: bool
    own_text: bytes
    data: Any
    env_file: Path


def fitted_without_containers(
    workspace: NativeWorkspace, module: Path, marker: str, written: Contributions, *, own_server: bool = False
) -> tuple[Contributions, list[str]]:
    """Return a module's contributions to this workspace's files, and notes for the user.

    Args:
        workspace: The workspace.
        module: The module's folder.
        marker: Its snake name.
        written: Its contributions as its fragments have them.
        own_server: Whether it is to have an environment apart from the other modules'.

    Raises:
        ConflictError: The workspace lists the project already.
    """
    if workspace.is_dg:
        listed, notes = _for_dg(workspace, module)
        files = {dg_toml.NAME: listed}
    else:
        apart = own_server or _is_served(written)
        files = {workspace_yaml.NAME: _located(workspace, module, marker, written, apart=apart)}
        notes = [_environment_note(workspace, module, apart=apart)]
    files[env_file.NAME] = _variables(written)
    return files, [*notes, *_needs(workspace, module, written)]


def _for_dg(workspace: NativeWorkspace, module: Path) -> tuple[list[Contribution], list[str]]:
    path = _relative(module, workspace.file.parent)
    if path in map(os.path.normpath, dg_toml.projects(workspace.own_text)):
        raise ConflictError([f"{workspace.file} lists {path} already, outside of this program's blocks"])
    inside = _relative(module, workspace.root)
    command = f"uv sync --extra dev --project {shlex.quote(inside)}"
    note = f"dg starts {module.name} with {inside}/.venv. Make it with '{command}'."
    return dg_toml.contributions(path, in_pyproject=workspace.file.name == dg_toml.PYPROJECT), [note]


def _is_served(written: Contributions) -> bool:
    return any("grpc_server" in entry for entry in _entries(written))


def _entries(written: Contributions) -> list[Mapping[str, Any]]:
    items = [
        item for contribution in written.get(workspace_yaml.NAME, ()) for item in load(contribution.sequence) or ()
    ]
    return [item for item in items if isinstance(item, dict)]


def _located(
    workspace: NativeWorkspace, module: Path, marker: str, written: Contributions, *, apart: bool
) -> list[Contribution]:
    """Return the location entries with paths of this machine."""
    start = workspace.file.parent

    def shown(path: Path) -> str:
        return _relative(path, start) if _starts_there(workspace) else os.path.normpath(path)

    python = shown(workspace.root / _OWN_PYTHON.format(module.name))
    if _is_served(written):
        lines = _package(ModuleNames(module.name).definitions, shown(module / "src"), marker, python)
        return [Contribution(workspace_yaml.SLOT, sequence=lines)]
    found = [
        moved_contribution(each, lambda path: shown(Path(os.path.normpath(start / path))))
        for each in written.get(workspace_yaml.NAME, ())
    ]
    return [_with_python(each, python) for each in found] if apart else found


def _package(name: str, folder: str, location: str, python: str) -> tuple[bytes, ...]:
    return (
        b"- python_package:",
        f"    package_name: {name}".encode(),
        f"    working_directory: {_text(folder)}".encode(),
        f"    location_name: {location}".encode(),
        f"    executable_path: {_text(python)}".encode(),
    )


def _with_python(contribution: Contribution, python: str) -> Contribution:
    """Return entries that are loaded by another Python: a line more behind the first key of each."""
    lines: list[bytes] = []
    for line in contribution.sequence or ():
        lines.append(line)
        if re.match(rb"- \w+:\s*$", line):
            lines.append(f"    executable_path: {_text(python)}".encode())
    return Contribution(contribution.path, sequence=tuple(lines))


def _text(path: str) -> str:
    return path if re.fullmatch(r"[\w./-]+", path) else json.dumps(path, ensure_ascii=False)


def _starts_there(workspace: NativeWorkspace) -> bool:
    """Return whether Dagster starts in the workspace file's folder: relative folders are the process's to Dagster.

    It does where the file is in the root, or where the owner's own folders are relative to it.
    """
    folder = workspace.file.parent
    data = workspace.data if isinstance(workspace.data, dict) else {}
    entries = data.get("load_from")
    targets = [target for entry in entries or () if isinstance(entry, dict) for target in entry.values()]
    stated = [str(target.get("working_directory") or "/") for target in targets if isinstance(target, dict)]
    relative = [path for path in stated if not Path(path).is_absolute()]
    return folder == workspace.root or any((folder / path).is_dir() for path in relative)


def _relative(path: Path, start: Path) -> str:
    return Path(os.path.relpath(path.absolute(), start.absolute())).as_posix()


def _environment_note(workspace: NativeWorkspace, module: Path, *, apart: bool) -> str:
    if apart:
        python = _OWN_PYTHON.format(module.name)
        return (
            f"{module.name} has an environment apart, {python}, which 'workspace.dev' and 'workspace.materialize' make."
        )
    pyproject = shlex.quote(_relative(module / "pyproject.toml", workspace.root))
    return (
        f"The Dagster that you start yourself needs what {module.name} requires in its environment: "
        f"'uv pip install -r {pyproject}'. 'workspace.dev' has an environment with it."
    )


def _variables(written: Contributions) -> list[Contribution]:
    """Return the variables; a file that says only that there are none is not worth a file."""
    found = list(written.get(env_file.NAME, ()))
    return found if env_file.keys(body_of(found)) else []


def _needs(workspace: NativeWorkspace, module: Path, written: Contributions) -> Iterator[str]:
    """Yield what this machine must have."""
    variables = env_file.values(body_of(written.get(env_file.NAME, ())))
    services = next((each for each in written.get(compose.NAME, ()) if each.path == ("services",)), None)
    for name, service in (load(services.mapping) or {}).items() if services else ():
        if isinstance(service, dict) and not str(name).endswith("_code"):
            yield _server(workspace, module, str(name), service, variables)
    snippet = body_of(written.get(dockerfile.NAME, ())).decode("utf-8", "replace")
    instructions = [each for each in _instructions(snippet) if not _USUAL.match(each)]
    packages = [word for each in instructions for match in _APT.finditer(each) for word in _words(match[1])]
    if packages:
        yield f"{module.name} needs these system packages on this machine: {', '.join(dict.fromkeys(packages))}."
    for other in (each for each in instructions if not _APT.search(each)):
        yield f"{module.name} needs on this machine what its Dockerfile snippet has: {other}"


def _server(
    workspace: NativeWorkspace, module: Path, name: str, service: Mapping[str, Any], variables: Mapping[str, str]
) -> str:
    environment = service.get("environment")
    kinds = [kind for variable, kind in _HAS_SERVER.items() if variable in (environment or ())]
    what = f"a {kinds[0]} server" if kinds else f"what the service {name} ({service.get('image', 'built')}) provides"
    port = variables.get(f"{name.upper()}_PORT")
    at = f" at 127.0.0.1:{port}" if port else ""
    schema = module / settings.FRAGMENTS / "schema.sql"
    tables = f", its tables in {_relative(schema, workspace.root)}" if schema.is_file() else ""
    names = f" Its database, user and password are in {_relative(workspace.env_file, workspace.root)}{tables}."
    told = names if kinds and variables else ""
    return f"{module.name} needs {what}{at}, which nothing starts here.{told}"


def _instructions(snippet: str) -> Iterator[str]:
    lines = [line for line in snippet.split("\n") if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\r?\n\s*", "", "\n".join(lines))
    yield from (line.strip() for line in joined.split("\n") if line.strip())


def _words(text: str) -> Sequence[str]:
    return [word for word in text.split() if not word.startswith("-")]

"""A survey for people and for programs: the rows of a table, and JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.model import CommandChange, DagsterService, FoundFile, Location, Place, Survey
from dagster_module_builder.disclosure.values import HIDDEN, is_secret_name

#: An option or a variable with its value.
_ASSIGNED = re.compile(r"(--?[A-Za-z][\w-]*(?:=|\s+)|\b[A-Za-z_]\w*=)([^\s\"'-][^\s\"']*)")
_ROLES = {
    "webserver": "webserver",
    "daemon": "daemon",
    "dev": "dagster dev",
    "code server": "code server",
    "worker": "Celery worker",
    "job": "one-off command",
}
_LAUNCHERS = {
    "default": "runs in the process that serves their code",
    "docker": "runs in a container each",
    "celery": "runs in Celery workers",
    "kubernetes": "runs on Kubernetes",
    "other": "runs by another launcher",
}


@dataclass(frozen=True)
class Row:
    """A line of the table: what was found, where, and why this program takes it for that."""

    found: str
    where: str
    why: str


def rows(survey: Survey) -> list[Row]:
    """Return the lines of a table that says what was found."""
    return [*_files(survey), *map(_service, survey.services), *map(_location, survey.locations), *_open(survey)]


def _files(survey: Survey) -> Iterator[Row]:
    if survey.compose:
        files = ", ".join(map(str, survey.compose.files))
        how = "named on the command line of Compose" if survey.compose.needs_flags else "what Compose finds there"
        yield Row("Compose project", files, f"{how}; project {survey.compose.name}")
    if survey.workspace_file:
        readers = [one.name for one in survey.services if one.workspace and one.workspace.path == survey.workspace_file]
        why = f"read by {', '.join(readers)}" if readers else "Dagster finds it there"
        yield Row("workspace file", str(survey.workspace_file), why)
    if survey.dg_workspace:
        yield Row("dg settings", str(survey.dg_workspace), "dg finds the projects by it")
    if survey.instance_file or survey.kind == "compose":
        where = str(survey.instance_file) if survey.instance_file else "none"
        yield Row("dagster.yaml", where, _LAUNCHERS[survey.launcher])
    for path in survey.env_files:
        yield Row("variables", str(path), "Compose or a service reads them")


def _service(service: DagsterService) -> Row:
    roles = " and ".join(_ROLES[role] for role in service.roles)
    where = f"{service.place}, {_image(service)}"
    return Row(f"{roles} {service.name}", where, f"{_reads(service)}; modules {service.fit}: {service.reason}")


def _image(service: DagsterService) -> str:
    image = service.image
    if image.inline:
        return "Dockerfile in the Compose file"
    if image.dockerfile is None:
        return f"image {image.name or 'unknown'}"
    return f"{image.dockerfile}{f' (stage {image.target})' if image.target else ''}"


def _reads(service: DagsterService) -> str:
    if service.targets:
        return f"loads {', '.join(target.value for target in service.targets)}"
    return _way(service.workspace) if service.workspace else "reads no workspace file"


def _way(found: FoundFile) -> str:
    ways = {
        "mounted": "mounts",
        "copied": "has a copy of",
        "config": "gets, as a config,",
        "inline": "has, written in place,",
        "missing": "does not get",
    }
    return f"{ways[found.way]} {found.path or found.container_path or 'a workspace file'}"


def _location(location: Location) -> Row:
    served = f", served by {location.server}" if location.server else ""
    folder = str(location.folder) if location.folder else "outside this repository, or not to be told"
    return Row(f"code location {location.name}", folder, f"{location.kind}{served}")


def _open(survey: Survey) -> Iterator[Row]:
    for question in survey.questions:
        yield Row("question", question.what, f"answer with {question.flag}: {', '.join(question.choices)}")
    for refusal in survey.refusals:
        yield Row("refused", str(refusal.place or survey.repository), f"{refusal.reason}. {refusal.cure}".rstrip())
    for note in survey.notes:
        yield Row("note", "", note)


def to_json(survey: Survey) -> dict[str, Any]:
    """Return a survey as values of JSON; paths are text, and bytes are decoded."""
    return {**_values(survey), "adoptable": survey.is_adoptable}


def shown_command(command: str) -> str:
    """Return a command without the values of options and variables that are secret.

    Example:
        ``"dagit --db-password=x -p 1"`` -> ``"dagit --db-password=… -p 1"``
    """
    return _ASSIGNED.sub(lambda match: f"{match[1]}{HIDDEN if _is_secret(*match.groups()) else match[2]}", command)


def _is_secret(name: str, value: str) -> bool:
    return is_secret_name(name.strip("-= ")) and not value.startswith("$")


def _values(value: Any) -> Any:
    if isinstance(value, Place):
        return str(value)
    if isinstance(value, CommandChange):
        value = replace(value, before=shown_command(value.before), after=shown_command(value.after))
    if isinstance(value, DagsterService):
        value = replace(value, command=shown_command(value.command))
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _values(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _values(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_values(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    return str(value) if isinstance(value, Path) else value

"""Load a module's definitions in a separate process, with the Python of an environment that has Dagster."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.modules import loaded
from dagster_module_builder.modules.code_location import CodeLocation
from dagster_module_builder.programs import outside_programs

#: The kinds of definitions, as ``loaded`` names them.
_NAMED = ("assets", "checks", "jobs", "schedules", "sensors")
RESOURCES = "resources"


@dataclass(frozen=True)
class LoadedDefinitions:
    """What Dagster sees of a module.

    Attributes:
        names: The keys and names by kind: ``{"assets": {"orders/numbers"}, "jobs": {"nightly"}}``.
        resources: The class of each resource by its key.
        problem: Why it does not load; empty if it does.
        details: What Dagster's page shows of each, by kind and name; empty for an older Dagster.
    """

    names: Mapping[str, frozenset[str]]
    resources: Mapping[str, str]
    problem: str = ""
    details: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    def counted(self) -> str:
        """Return the numbers of definitions: ``"1 asset, 2 jobs"``."""
        numbers = [(kind, len(self.names.get(kind, ()))) for kind in _NAMED] + [(RESOURCES, len(self.resources))]
        return ", ".join(f"{number} {kind if number != 1 else kind[:-1]}" for kind, number in numbers if number)


def load(
    location: CodeLocation, python: Path, folder: Path, environ: Mapping[str, str], also: Sequence[Path] = ()
) -> Mapping[str, Any]:
    """Return the assets, jobs and resources that Dagster loads, or the ``problem``.

    Args:
        location: What to load.
        python: The Python of an environment that has Dagster and the module's requirements.
        folder: The working directory.
        environ: All variables of the process.
        also: Folders with further packages, which are found last.
    """
    if location.dotted is None:
        return {"problem": "no file builds Definitions"}
    # As after activating the environment: programs such as dbt are found in it.
    programs = os.pathsep.join(filter(None, [str(python.parent), environ.get("PATH", os.defpath)]))
    request = {"source": str(location.source), "dotted": location.dotted, "also": list(map(str, also))}
    try:
        result = outside_programs.ask(
            [str(python), loaded.__file__],
            named="Loading the definitions",
            answers=outside_programs.ANY,
            stdin=json.dumps(request).encode(),
            folder=folder,
            # What runs the module's code leaves no files in its folder.
            environ={**environ, "PATH": programs, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"},
        )
    except ToolError as error:
        return {"problem": str(error)}
    lines = result.out.decode("utf-8", "replace").strip().splitlines()
    errors = result.words.splitlines()[-1:] or ["it ended without output"]
    return dict(json.loads(lines[-1])) if lines else {"problem": errors[0]}


def definitions_of(answer: Mapping[str, Any]) -> LoadedDefinitions:
    """Return an answer of ``load`` as a value that can be compared."""
    if problem := answer.get("problem"):
        return LoadedDefinitions({}, {}, str(problem))
    assets = frozenset("/".join(key) for key in answer["assets"])
    names = {kind: frozenset(answer[kind]) for kind in _NAMED if kind != "assets"}
    return LoadedDefinitions({"assets": assets, **names}, answer[RESOURCES], details=answer.get("details", {}))


def compared(
    before: Mapping[str, Mapping[str, Mapping[str, Any]]], after: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """Return what differs between the ``details`` of two releases.

    Returns:
        By kind, the names that were ``added`` and ``removed``, and of those that ``changed`` what did: ``{"schedules":
        {"added": [], "removed": [], "changed": {"nightly": {"cron": ["0 3 * * *", "0 4 * * *"]}}}}``.
    """
    found = {}
    for kind in (*_NAMED, RESOURCES):
        old, new = before.get(kind, {}), after.get(kind, {})
        changes = {name: _differing(old[name], new[name]) for name in sorted(old.keys() & new.keys())}
        found[kind] = {
            "added": sorted(new.keys() - old.keys()),
            "removed": sorted(old.keys() - new.keys()),
            "changed": {name: each for name, each in changes.items() if each},
        }
    return found


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the values before and after of what both have, and what differs."""
    return {name: [old[name], new[name]] for name in old if name in new and old[name] != new[name]}


def gained(before: LoadedDefinitions, after: LoadedDefinitions) -> Iterator[str]:
    """Yield what only ``after`` has: ``"the asset orders/numbers"``."""
    for kind in (*_NAMED, RESOURCES):
        yield from (f"the {kind[:-1]} {name}" for name in sorted(_of(after, kind) - _of(before, kind)))


def replaced(before: LoadedDefinitions, after: LoadedDefinitions) -> Iterator[str]:
    """Yield the resources of which ``after`` has another class: ``"the resource io_manager (a.B by c.D)"``."""
    for name, kind in sorted(before.resources.items()):
        if (now := after.resources.get(name, kind)) != kind:
            yield f"the resource {name} ({kind} by {now})"


def _of(definitions: LoadedDefinitions, kind: str) -> frozenset[str]:
    return frozenset(definitions.resources) if kind == RESOURCES else definitions.names.get(kind, frozenset())

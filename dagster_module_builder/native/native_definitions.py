"""Loading the code locations without Docker, to find errors and the assets that they make."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.native import native_load
from dagster_module_builder.native.location_entries import LocationEntry, locations
from dagster_module_builder.native.native_environment import (
    own_environment,
    process_environment,
    process_folder,
    shared_environment,
)
from dagster_module_builder.native.native_folder import FOLDER
from dagster_module_builder.native.native_workspace import native_entries
from dagster_module_builder.programs import outside_programs


@dataclass(frozen=True)
class NotLoaded:
    """A code location that does not load.

    Attributes:
        location: Its name; empty if Dagster does not name it.
        error: Dagster's error without the traceback.
        place: The ``path:line`` of the error; empty if it is unknown.
        module: The folder of its module, if it has one.
    """

    location: str
    error: str
    place: str = ""
    module: Path | None = None


@dataclass
class Loaded:
    """The result of loading all code locations.

    Attributes:
        keys: The keys of the assets that each integrated module makes.
        failures: The locations that do not load.
        left_out: A sentence for each location that cannot be loaded on this machine.
    """

    keys: dict[Path, list[str]] = field(default_factory=dict)
    failures: list[NotLoaded] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def load_locations(root: Path) -> Loaded:
    """Load every code location natively.

    Modules are loaded by one process for each environment. Other entries of the workspace file are left to
    ``dagster definitions validate``, which starts a code server for each, one after the other.

    Raises:
        ToolError: An environment cannot be created, or its Python does not run.
    """
    loaded, all_locations = Loaded(), locations(root)
    of_modules = [(location.module, location) for location in all_locations if location.module]
    ours = {module: target for module, location in of_modules if (target := _target(root, location))}
    others = [location for location in all_locations if location.module not in ours]
    for module, answer in _answers(root, ours).items():
        if "keys" in answer:
            loaded.keys[module] = answer["keys"]
        elif "error" in answer:
            loaded.failures.append(NotLoaded(ours[module].name, answer["error"], answer["place"], module))
        else:
            others += [location for location in all_locations if location.module == module]
    native = native_entries(root, others)
    loaded.failures += _validated(root, native.entries, {each.name: each.module for each in others if each.module})
    loaded.left_out += native.left_out
    return loaded


@dataclass(frozen=True)
class _Target:
    """A module's code in a location entry: its dotted name in the folder ``source``."""

    name: str
    definitions: str
    source: str
    own_server: bool = False


def _target(root: Path, location: LocationEntry) -> _Target | None:
    """Return the code of a location, or None if the location is not like those of modules."""
    if location.own_server and location.module and location.native is None:
        names = ModuleNames(location.module.name)
        return _Target(names.snake, names.definitions, str(location.module / "src"), own_server=True)
    kind, details = next(iter((location.native or location.entry).items()))
    dotted = details.get({"python_package": "package_name", "python_module": "module_name"}.get(kind, ""))
    if not dotted or set(details) - {"package_name", "module_name", "working_directory", "location_name"}:
        return None
    source = os.path.normpath(layout_of(root).dagster_folder / details.get("working_directory", "."))
    return _Target(str(details.get("location_name", dotted)), dotted, source, location.own_server)


def _answers(root: Path, ours: Mapping[Path, _Target]) -> dict[Path, dict[str, Any]]:
    """Load modules; return the answer for each."""
    shared = [module for module, target in ours.items() if not target.own_server]
    environments = [(shared_environment(root), shared)] if shared else []
    environments += [(own_environment(root, module), [module]) for module in ours if module not in shared]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        loads = [threads.submit(_load, root, python, {key: ours[key] for key in keys}) for python, keys in environments]
        return {module: answer for load in loads for module, answer in load.result().items()}


def _load(root: Path, python: Path, modules: Mapping[Path, _Target]) -> dict[Path, dict[str, Any]]:
    request = {
        str(module): {"definitions": target.definitions, "source": target.source} for module, target in modules.items()
    }
    env_file = dotenv_values(layout_of(root).env_file)
    asked = outside_programs.ask(
        [python, native_load.__file__],
        named="Loading the modules",
        stdin=json.dumps(request).encode(),
        folder=process_folder(root),
        environ={**process_environment(root), **{name: value for name, value in env_file.items() if value is not None}},
    )
    return {Path(module): answer for module, answer in json.loads(asked.out).items()}


def _validated(root: Path, entries: Sequence[Mapping[str, Any]], modules: Mapping[str, Path]) -> list[NotLoaded]:
    """Load locations with Dagster's own command; return those that do not load."""
    if not entries:
        return []
    file = root / FOLDER / "others.yaml"
    python = shared_environment(root)
    file.write_text(yaml.safe_dump({"load_from": list(entries)}))
    asked = outside_programs.ask(
        [python.parent / "dagster", "definitions", "validate", "--log-level", "error", "-w", file],
        named="dagster definitions validate",
        answers=outside_programs.ANY,
        folder=process_folder(root),
        # Its warnings only recommend a newer command that does the same.
        environ={**process_environment(root), "PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
        errors=subprocess.STDOUT,
    )
    return _failures(asked.out.decode("utf-8", "replace"), modules) if asked.status else []


def _failures(log: str, modules: Mapping[str, Path]) -> list[NotLoaded]:
    """Return each location that does not load, with its innermost error and the place of the error."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", log).strip()
    _, *failures = re.split(r"^.*Validation failed for code location ", text, flags=re.MULTILINE)
    return [_not_loaded(failure, modules) for failure in failures] or [NotLoaded("", text)]


def _not_loaded(failure: str, modules: Mapping[str, Path]) -> NotLoaded:
    name, _, body = failure.partition(":\n")
    error = body.rpartition("was caused by the following exception:")[2].strip().partition("\n")[0]
    frames = re.findall(r'^  File "(.+)", line (\d+)', body, flags=re.MULTILINE)
    place = f"{os.path.normpath(frames[-1][0])}:{frames[-1][1]}" if frames else ""
    return NotLoaded(name, error, place, modules.get(name))

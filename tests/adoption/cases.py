"""The cases: each has a repository in ``tree/`` and, in ``expected.toml``, what a survey has to say of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.model import DagsterService, Survey
from dagster_module_builder.adoption.survey import survey

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CASES = Path(__file__).parent / "cases"
EXPECTED = "expected.toml"
TREE = "tree"


@dataclass(frozen=True)
class Case:
    """A repository, and what has to be found in it."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def tree(self) -> Path:
        return self.path / TREE

    @property
    def expected(self) -> dict[str, Any]:
        return tomllib.loads((self.path / EXPECTED).read_text("utf-8"))

    def surveyed(self) -> Survey:
        """Return the survey, with the answers that the case gives."""
        answers = self.expected.get("answers", {})
        named = answers.get("workspace_file")
        files = [Path(name) for name in answers.get("compose_files", ())]
        roles = {name: tuple(stated) for name, stated in answers.get("roles", {}).items()}
        return survey(self.tree, files, Path(named) if named else None, roles)


def cases() -> list[Case]:
    return [Case(path.parent) for path in sorted(CASES.glob(f"*/{EXPECTED}"))]


def said(found: Survey) -> dict[str, Any]:
    """Return what ``expected.toml`` can say of a survey; what is not there is left out."""
    whole = {
        "kind": found.kind,
        "adoptable": found.is_adoptable,
        "fit": found.fit if found.services else None,
        "launcher": found.launcher if found.services else None,
        "compose": [str(path) for path in found.compose.files] if found.compose else None,
        "all_files": _more_files(found),
        "project": found.compose.name if found.compose and found.compose.name != TREE else None,
        "workspace_file": found.workspace_file,
        "dg_workspace": found.dg_workspace,
        "instance_file": found.instance_file,
        "env_files": list(map(str, found.env_files)),
        "proposed_path": found.proposed_path,
        "questions": [question.flag for question in found.questions],
        "refused": [str(refusal) for refusal in found.refusals],
        "proposed": (found.proposed_workspace or b"").decode(),
        "proposed_mount": found.proposed_mount,
        "commands": {change.service: f"{change.place}: {change.after}" for change in found.command_changes},
        "notes": list(found.notes),
        "services": {service.name: said_of_service(service) for service in found.services},
        "locations": {
            location.name: " at ".join(filter(None, (location.server, str(location.folder or ""))))
            for location in found.locations
        },
    }
    return {key: str(value) if isinstance(value, Path) else value for key, value in whole.items() if _is_said(value)}


def _more_files(found: Survey) -> list[str]:
    compose = found.compose
    return [] if compose is None or compose.all_files == compose.files else list(map(str, compose.all_files))


def _is_said(value: object) -> bool:
    return value is False or bool(value)


def said_of_service(service: DagsterService) -> dict[str, Any]:
    image = service.image
    found = service.workspace
    whole = {
        "roles": list(service.roles),
        "start": service.start,
        "image": "inline" if image.inline else f"{image.dockerfile or image.name or 'unknown'}",
        "target": image.target,
        "builder": image.builder,
        "workspace": f"{found.way} {found.container_path}" if found else None,
        "targets": [target.value for target in service.targets],
        "script": str(service.script) if service.script else None,
        "profiles": list(service.profiles),
        "fit": service.fit,
        "reason": service.reason if service.loads_code and service.fit == "own" else None,
    }
    return {key: value for key, value in whole.items() if value}

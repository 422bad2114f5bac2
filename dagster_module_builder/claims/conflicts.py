"""Conflicts: what two owners claim, and variables that are used but not set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dagster_module_builder.claims.facts import Facts

#: Compose sets it to the project's name.
_SET_BY_COMPOSE = ("COMPOSE_PROJECT_NAME",)

#: The owner of the lines outside all blocks.
WORKSPACE = "the workspace"

_KINDS = {
    "services": "service",
    "volumes": "volume",
    "networks": "network",
    "locations": "code location",
    "env": "variable",
    "ports": "host port",
}


@dataclass(frozen=True)
class Finding:
    """A problem in a workspace.

    Attributes:
        severity: An error breaks the workspace, a warning may.
        message: What was found.
        where: Its ``path:line`` or path.
        fix: The cure in words.
        owner: The module concerned, if any.
        command: The task that fixes it, with its arguments; the editor if only an edit outside the blocks does.
    """

    severity: Literal["error", "warning"]
    message: str
    where: str = ""
    fix: str = ""
    owner: str = ""
    command: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message}{'. ' + self.fix if self.fix else ''}"

    def with_command(self) -> str:
        """Return the text with the command."""
        return str(self) if self.command in self.fix else f"{self}. Or run '{self.command}'"


#: Returns where an owner claims something, from the owner, the attribute of its facts, and the name.
Where = Callable[[str, str, object], str]


def duplicates(
    facts: Mapping[str, Facts], of: Iterable[str] | None = None, where: Where = lambda *_: ""
) -> list[Finding]:
    """Return a finding for everything that is claimed twice; it names the owners.

    Args:
        facts: What each owner claims.
        of: Return only conflicts of these owners; None for all.
        where: Returns where a claim is; called for the last of the owners.
    """
    wanted = set(facts) if of is None else set(of)
    findings: list[Finding] = []
    for attribute, kind in _KINDS.items():
        claims: dict[object, list[str]] = defaultdict(list)
        for owner, claimed in facts.items():
            for name in getattr(claimed, attribute):
                claims[name].append(owner)
        findings += [
            Finding(
                "error",
                f"{kind} {name} is claimed by {_owners(owners)}",
                where(owners[-1], attribute, name),
                _CURES.get(attribute, _RENAME),
                owners[-1],
            )
            for name, owners in claims.items()
            if len(owners) > 1 and wanted.intersection(owners)
        ]
    return findings


_RENAME = "Rename it in one of their workspace/local/ folders, and run 'workspace.sync'"
_CURES = {"ports": "Change the *PORT in one of their workspace/local/.env files, and run 'workspace.sync'"}


#: How many owners of a claim are named; the others are counted.
_MOST_NAMED = 4


def _owners(owners: list[str]) -> str:
    counted = [f"{owner} {count} times" if count > 1 else owner for owner, count in Counter(owners).items()]
    more = [f"{len(counted) - _MOST_NAMED} more"] if len(counted) > _MOST_NAMED else []
    return " and ".join([*counted[:_MOST_NAMED], *more])


def undefined(
    facts: Mapping[str, Facts], of: Iterable[str], environment: Iterable[str] = (), where: Where = lambda *_: ""
) -> list[Finding]:
    """Return a finding for every variable that these owners use and that is not set; ``environment`` counts as set."""
    defined = {name for claimed in facts.values() for name in claimed.env} | {*environment, *_SET_BY_COMPOSE}
    return [
        Finding(
            "error",
            f"{owner} uses the variable {name}, which is not set",
            where(owner, "uses", name),
            "Set it in its workspace/local/.env, and run 'workspace.sync'",
            owner,
        )
        for owner in of
        for name in facts[owner].uses
        if name not in defined
    ]

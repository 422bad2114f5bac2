"""What two owners claim at once, and what nobody defines."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from dagster_module_builder.claims.facts import Facts

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
    """Something that is not as it should be.

    Attributes:
        severity: An error breaks the workspace, a warning may.
        message: What was found.
        where: The ``path:line``, or the path, that it was found in.
        fix: What fixes it, in words.
        owner: The module that it is about, where it is about one.
        command: The task with its arguments that fixes it; the editor where only an edit of lines that are nobody's
            block does.
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
        """Say all of it, and the command."""
        return str(self) if self.command in self.fix else f"{self}. Or run '{self.command}'"


#: Says where an owner claims something: owner, attribute of its facts, name.
Where = Callable[[str, str, object], str]


def duplicates(
    facts: Mapping[str, Facts], of: Iterable[str] | None = None, where: Where = lambda *_: ""
) -> list[Finding]:
    """Return everything that is claimed twice, with both owners named.

    Args:
        facts: What each owner claims.
        of: Only what one of these owners takes part in; all of it when None.
        where: Says where a claim stands; asked for the last of the owners.
    """
    wanted = set(facts) if of is None else set(of)
    found: list[Finding] = []
    for attribute, kind in _KINDS.items():
        claims: dict[object, list[str]] = defaultdict(list)
        for owner, claimed in facts.items():
            for name in getattr(claimed, attribute):
                claims[name].append(owner)
        found += [
            Finding(
                "error",
                f"{kind} {name} is claimed by {_owners(owners)}",
                where(owners[-1], attribute, name),
                _MENDS.get(attribute, _RENAME),
                owners[-1],
            )
            for name, owners in claims.items()
            if len(owners) > 1 and wanted.intersection(owners)
        ]
    return found


_RENAME = "Give one of them another name in its workspace/local/, and run 'workspace.sync'"
_MENDS = {"ports": "Change the *PORT of one of them in its workspace/local/.env, and run 'workspace.sync'"}


#: How many owners of one claim are named; the others are counted.
_MOST_NAMED = 4


def _owners(owners: list[str]) -> str:
    counted = [f"{owner} {count} times" if count > 1 else owner for owner, count in Counter(owners).items()]
    more = [f"{len(counted) - _MOST_NAMED} more"] if len(counted) > _MOST_NAMED else []
    return " and ".join([*counted[:_MOST_NAMED], *more])


def undefined(
    facts: Mapping[str, Facts], of: Iterable[str], environment: Iterable[str] = (), where: Where = lambda *_: ""
) -> list[Finding]:
    """Return the variables that these owners use and nobody sets; ``environment`` are those set elsewhere."""
    defined = {name for claimed in facts.values() for name in claimed.env} | set(environment)
    return [
        Finding(
            "error",
            f"{owner} uses the variable {name}, which nobody sets",
            where(owner, "uses", name),
            "Set it in its workspace/local/.env, and run 'workspace.sync'",
            owner,
        )
        for owner in of
        for name in facts[owner].uses
        if name not in defined
    ]

"""Whether services get a module's variables; passed on where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dagster_module_builder.fitting.surroundings import Findings, Surroundings, load
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def pass_variables(around: Surroundings, findings: Findings, names: Sequence[str]) -> None:
    """Find which variables are not passed to which service."""
    for service in around.services:
        if service.takes_env_file:
            continue
        missing = [name for name in dict.fromkeys(names) if name not in service.environment]
        if missing:
            findings.variables[service.name] = missing


def refuse_repeated_variables(around: Surroundings, findings: Findings, given: Iterable[Contribution]) -> None:
    """Find reasons in variables that a service sets itself."""
    names: dict[tuple[bytes, ...], set[str]] = {}
    for one in given:
        if one.path[:1] == ("services",) and one.path[2:] == ("environment",) and one.mapping:
            if one.mapping not in names:
                names[one.mapping] = set(load(one.mapping) or ())
            twice = names[one.mapping] & set(around.stack.services[one.path[1]].environment)
            findings.reasons.extend(f"{one.path[1]} sets {name} already: take it out there" for name in sorted(twice))

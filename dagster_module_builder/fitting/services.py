"""What the compose file gets for a module: its services on networks that are there, and what others get for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dagster_module_builder.compose.service import DEFAULT_NETWORK, well_formed
from dagster_module_builder.fitting.surroundings import Findings, Surroundings, load
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.shared_files.formats.outline import KeyPath, Outline
from dagster_module_builder.shared_files.formats.shared_file import Contribution


def with_additions(around: Surroundings, findings: Findings, given: Sequence[Contribution]) -> list[Contribution]:
    """Return what a module gives to the compose file, with what was found to be missing."""
    added = list(given)
    for service in around.services:
        names = findings.variables.get(service.name, ())
        if names:
            pairs = [f"{name}: ${{{name}}}" for name in names], [f"- {name}=${{{name}}}" for name in names]
            added.append(_contribution(("services", service.name, "environment"), *pairs))
        mounts = findings.mounts.get(service.name, ())
        if mounts:
            added.append(_contribution(("services", service.name, "volumes"), None, [f"- {one}" for one in mounts]))
    if findings.volumes:
        added.append(Contribution(("volumes",), mapping=tuple(findings.volumes)))
    return united(added)


def _contribution(path: KeyPath, mapping: Iterable[str] | None, sequence: Iterable[str]) -> Contribution:
    keys = None if mapping is None else tuple(line.encode() for line in mapping)
    return Contribution(path, keys, tuple(line.encode() for line in sequence))


def united(given: Iterable[Contribution]) -> list[Contribution]:
    """Make one contribution of several to the same slot."""
    by_path: dict[KeyPath, Contribution] = {}
    for one in given:
        there = by_path.get(one.path)
        by_path[one.path] = (
            one
            if there is None
            else Contribution(one.path, _sum(there.mapping, one.mapping), _sum(there.sequence, one.sequence))
        )
    return list(by_path.values())


def _sum(first: tuple[bytes, ...] | None, second: tuple[bytes, ...] | None) -> tuple[bytes, ...] | None:
    return None if first is None or second is None else first + second


def networked(around: Surroundings, findings: Findings, given: Sequence[Contribution]) -> list[Contribution]:
    """Return what a module gives, its services on networks where those that run code are."""
    services = next((one for one in given if one.path == ("services",)), None)
    if services is None:
        return list(given)
    body = services.mapping or ()
    data = _services_in(body, findings)
    own = {section: load(one.mapping) or {} for one in given if (section := one.path[0]) in {"volumes", "networks"}}
    _undefined_volumes(around, findings, data, own.get("volumes", {}))
    known = {*around.stack.network_names, *own.get("networks", {})}
    unknown = {network for service in data.values() for network in service.get("networks") or ()} - known
    shared, reasons = around.once(_shared_networks)
    findings.reasons += reasons
    apart = [service for service in data.values() if not set(service) & {"networks", "network_mode", "extends"}]
    if shared and (unknown or (apart and shared != [DEFAULT_NETWORK])):
        body = _joining(body, unknown, shared)
        data = _services_in(body, findings)
    _refuse_unreachable(around, findings, data, known)
    return [Contribution(one.path, mapping=body) if one is services else one for one in given]


def _services_in(body: Sequence[bytes], findings: Findings) -> dict[str, dict[str, Any]]:
    data = load(body)
    found = data if isinstance(data, dict) else {}
    kept = {str(name): well_formed(service) for name, service in found.items()}
    misshapen = [name for name, service in found.items() if service != kept[str(name)]]
    findings.reasons.extend(f"its service {name} has a shape that Compose does not take" for name in misshapen)
    return kept


def _undefined_volumes(
    around: Surroundings, findings: Findings, data: Mapping[str, Any], own: Mapping[str, Any]
) -> None:
    defined = {*around.stack.volume_names, *own}
    for name, service in data.items():
        for entry in service.get("volumes") or ():
            source = str(entry.get("source", "")) if isinstance(entry, dict) else str(entry).partition(":")[0]
            if source and re.fullmatch(r"[A-Za-z0-9][\w.-]*", source) and source not in defined:
                findings.reasons.append(
                    f"its service {name} mounts the volume {source}, which this workspace does not have: "
                    f"add it there, or make the module with a shared code server"
                )


def _shared_networks(around: Surroundings) -> tuple[list[str], list[str]]:
    """Return the networks through which services with code, and runs, reach a service; and reasons against."""
    modes = [service.name for service in around.services if service.data.get("network_mode")]
    if modes:
        reason = "has a 'network_mode:', so the names of the module's services mean nothing to it: use 'networks:'"
        return [], [f"{name} {reason}" for name in modes]
    sets = [set(service.networks) for service in around.services]
    common = sorted(set.intersection(*sets)) if sets else []
    preferred = [name for name in common if around.stack.network_names.get(name) in around.launcher.networks]
    chosen = (preferred or common)[:1] or list(dict.fromkeys(service.networks[0] for service in around.services))
    return _reaching_runs(around, chosen) if around.in_containers else (chosen, [])


def _reaching_runs(around: Surroundings, chosen: list[str]) -> tuple[list[str], list[str]]:
    real = around.stack.network_names
    if any(real.get(name) in around.launcher.networks for name in chosen):
        return chosen, []
    found = [name for name, engine_name in real.items() if engine_name in around.launcher.networks]
    if found:
        return [*chosen, found[0]], []
    joined = ", ".join(around.launcher.networks) or "no network of the compose file"
    wanted = real.get(chosen[0]) if chosen else "theirs"
    reason = (
        f"{dagster_yaml.DOCKER} starts runs in {joined}, where the module's services are not: "
        f"set 'network:' in run_launcher.config of dagster.yaml to {wanted}"
    )
    return chosen, [reason]


def _joining(body: Sequence[bytes], unknown: set[str], networks: Sequence[str]) -> tuple[bytes, ...]:
    """Let services join these networks, where they name ones that are not there, or none at all."""
    outline = Outline(split_lines(b"\n".join(body)))
    lines: list[list[bytes]] = [[line] for line in body]
    for key in outline.keys:
        if len(key.path) == 1 and _joins_nothing(key.value) and list(networks) != [DEFAULT_NETWORK]:
            margin = " " * outline.column(key.value)
            lines[key.line] += [f"{margin}networks:".encode(), *(f"{margin}  - {name}".encode() for name in networks)]
        elif len(key.path) == 2 and key.path[1] == "networks" and isinstance(key.value, yaml.SequenceNode):
            for at, line in _renamed(outline, key.value, unknown, networks).items():
                lines[at] = line
    return tuple(line for group in lines for line in group)


def _renamed(
    outline: Outline, node: yaml.SequenceNode, unknown: set[str], networks: Sequence[str]
) -> dict[int, list[bytes]]:
    """Return the lines that take the place of those that name unknown networks."""
    renamed: dict[int, list[bytes]] = {}
    for item in node.value:
        if isinstance(item, yaml.ScalarNode) and item.value in unknown:
            at, column = outline.line(item), outline.column(item)
            text = outline.own[at].decode().rstrip("\r\n")
            head, tail = text[:column], text[column + item.end_mark.index - item.start_mark.index :]
            names = [", ".join(networks)] if node.flow_style else networks
            # Several names that are not there mean the same networks here, which may be joined only once.
            renamed[at] = [] if renamed and not node.flow_style else [f"{head}{name}{tail}".encode() for name in names]
    return renamed


def _joins_nothing(service: yaml.Node) -> bool:
    if not isinstance(service, yaml.MappingNode) or service.flow_style:
        return False
    return not {str(key.value) for key, _ in service.value} & {"networks", "network_mode", "<<", "extends"}


def _refuse_unreachable(
    around: Surroundings, findings: Findings, data: Mapping[str, Mapping[str, Any]], known: set[str]
) -> None:
    for name, service in data.items():
        joined = list(service.get("networks") or (DEFAULT_NETWORK,))
        findings.reasons.extend(
            f"its service {name} joins the network {network}, which this workspace does not have"
            for network in joined
            if network not in known
        )
        findings.reasons.extend(
            f"{one.name} joins no network of the module's service {name}: let it join {', '.join(map(str, joined))}"
            for one in around.services
            if not set(joined) & set(one.networks) and not one.data.get("network_mode")
        )

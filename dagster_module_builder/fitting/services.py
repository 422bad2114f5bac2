"""A module's contributions to the compose file: its services on existing networks, and additions to other services."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from dagster_module_builder.compose.service import DEFAULT_NETWORK, well_formed
from dagster_module_builder.fitting.target_workspace import Findings, TargetWorkspace, load
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, dagster_yaml
from dagster_module_builder.shared_files.formats.outline import KeyPath, Outline, UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.yaml_file import refuse_shared


def with_additions(
    workspace: TargetWorkspace, findings: Findings, contributions: Sequence[Contribution]
) -> list[Contribution]:
    """Return a module's contributions to the compose file, with additions for what was missing."""
    added = list(contributions)
    for service in workspace.services:
        names = findings.variables.get(service.name, ())
        if names:
            pairs = [f"{name}: ${{{name}}}" for name in names], [f"- {name}=${{{name}}}" for name in names]
            added.append(_contribution(("services", service.name, "environment"), *pairs))
        mounts = findings.mounts.get(service.name, ())
        if mounts:
            added.append(_contribution(("services", service.name, "volumes"), None, [f"- {mount}" for mount in mounts]))
    if findings.volumes:
        added.append(Contribution(("volumes",), mapping=tuple(findings.volumes)))
    return united(added)


def _contribution(path: KeyPath, mapping: Iterable[str] | None, sequence: Iterable[str]) -> Contribution:
    keys = None if mapping is None else tuple(line.encode() for line in mapping)
    return Contribution(path, keys, tuple(line.encode() for line in sequence))


def refuse_inherited(workspace: TargetWorkspace, findings: Findings, contributions: Iterable[Contribution]) -> None:
    """Add a reason for each slot that other services would get, too, through an alias or a merge key."""
    outline = workspace.once(_compose_outline)
    for contribution in contributions:
        try:
            refuse_shared(outline, contribution.path)
        except UnsafeEditError as error:
            findings.reasons.append(f"{workspace.paths[compose.NAME]}:{error.position + 1}: {error.reason}")


def _compose_outline(workspace: TargetWorkspace) -> Outline:
    return outline_of(split_lines(workspace.stack.read(workspace.paths[compose.NAME]) or b""))


def united(contributions: Iterable[Contribution]) -> list[Contribution]:
    """Merge contributions to the same slot."""
    by_path: dict[KeyPath, Contribution] = {}
    for contribution in contributions:
        first = by_path.get(contribution.path)
        by_path[contribution.path] = _both(first, contribution) if first else contribution
    return list(by_path.values())


def _both(first: Contribution, second: Contribution) -> Contribution:
    return Contribution(first.path, _sum(first.mapping, second.mapping), _sum(first.sequence, second.sequence))


def _sum(first: tuple[bytes, ...] | None, second: tuple[bytes, ...] | None) -> tuple[bytes, ...] | None:
    return None if first is None or second is None else first + second


def networked(
    workspace: TargetWorkspace, findings: Findings, contributions: Sequence[Contribution]
) -> list[Contribution]:
    """Return a module's contributions, with its services on networks of those that run code."""
    sections = {contribution.path[0]: contribution for contribution in contributions if len(contribution.path) == 1}
    services = sections.get("services")
    if services is None:
        return list(contributions)
    body = services.mapping or ()
    data = _services_in(body, findings)
    own = {
        section: load(contribution.mapping) or {}
        for contribution in contributions
        if (section := contribution.path[0]) in {"volumes", "networks"}
    }
    _undefined_volumes(workspace, findings, data, own.get("volumes", {}))
    known = {*workspace.stack.network_names, *own.get("networks", {})}
    unknown = {network for service in data.values() for network in service.get("networks") or ()} - known
    shared, reasons = workspace.once(_shared_networks)
    findings.reasons += reasons
    apart = [service for service in data.values() if not set(service) & {"networks", "network_mode", "extends"}]
    if shared and (unknown or (apart and shared != [DEFAULT_NETWORK])):
        body = _joining(body, unknown, shared)
        data = _services_in(body, findings)
    _refuse_unreachable(workspace, findings, data, known)
    return [
        Contribution(contribution.path, mapping=body) if contribution is services else contribution
        for contribution in contributions
    ]


def _services_in(body: Sequence[bytes], findings: Findings) -> dict[str, dict[str, Any]]:
    data = load(body)
    definitions = data if isinstance(data, dict) else {}
    kept = {str(name): well_formed(service) for name, service in definitions.items()}
    misshapen = [name for name, service in definitions.items() if service != kept[str(name)]]
    findings.reasons.extend(f"its service {name} has values that Compose refuses" for name in misshapen)
    return kept


def _undefined_volumes(
    workspace: TargetWorkspace, findings: Findings, data: Mapping[str, Any], own: Mapping[str, Any]
) -> None:
    defined = {*workspace.stack.volume_names, *own, *(load(findings.volumes) or {})}
    for name, service in data.items():
        for entry in service.get("volumes") or ():
            source = str(entry.get("source", "")) if isinstance(entry, dict) else str(entry).partition(":")[0]
            if source and re.fullmatch(r"[A-Za-z0-9][\w.-]*", source) and source not in defined:
                findings.reasons.append(
                    f"its service {name} mounts the volume {source}, which this workspace does not have: "
                    f"add it there, or create the module with a shared code server"
                )


def _shared_networks(workspace: TargetWorkspace) -> tuple[list[str], list[str]]:
    """Return the networks through which services with code, and runs, reach a service; and reasons why they cannot."""
    modes = [service.name for service in workspace.services if service.data.get("network_mode")]
    if modes:
        reason = "has a 'network_mode:', so it cannot resolve the names of the module's services: use 'networks:'"
        return [], [f"{name} {reason}" for name in modes]
    sets = [set(service.networks) for service in workspace.services]
    common = sorted(set.intersection(*sets)) if sets else []
    preferred = [name for name in common if workspace.stack.network_names.get(name) in workspace.launcher.networks]
    chosen = (preferred or common)[:1] or list(dict.fromkeys(service.networks[0] for service in workspace.services))
    return _reaching_runs(workspace, chosen) if workspace.in_containers else (chosen, [])


def _reaching_runs(workspace: TargetWorkspace, chosen: list[str]) -> tuple[list[str], list[str]]:
    real = workspace.stack.network_names
    if any(real.get(name) in workspace.launcher.networks for name in chosen):
        return chosen, []
    reaching = [name for name, engine_name in real.items() if engine_name in workspace.launcher.networks]
    if reaching:
        return [*chosen, reaching[0]], []
    joined = ", ".join(workspace.launcher.networks) or "no network of the compose file"
    wanted = real.get(chosen[0]) if chosen else "theirs"
    reason = (
        f"{dagster_yaml.DOCKER} starts runs in {joined}, where the module's services are not: "
        f"set 'network:' in run_launcher.config of dagster.yaml to {wanted}"
    )
    return chosen, [reason]


def _joining(body: Sequence[bytes], unknown: set[str], networks: Sequence[str]) -> tuple[bytes, ...]:
    """Make services join these networks if they name unknown ones or none."""
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
    """Return the lines that replace those with unknown networks."""
    renamed: dict[int, list[bytes]] = {}
    for item in node.value:
        if isinstance(item, yaml.ScalarNode) and item.value in unknown:
            at, column = outline.line(item), outline.column(item)
            text = outline.own[at].decode().rstrip("\r\n")
            head, tail = text[:column], text[column + item.end_mark.index - item.start_mark.index :]
            names = [", ".join(networks)] if node.flow_style else networks
            # Several unknown names become the same networks, which may be listed only once.
            renamed[at] = [] if renamed and not node.flow_style else [f"{head}{name}{tail}".encode() for name in names]
    return renamed


def _joins_nothing(service: yaml.Node) -> bool:
    if not isinstance(service, yaml.MappingNode) or service.flow_style:
        return False
    return not {str(key.value) for key, _ in service.value} & {"networks", "network_mode", "<<", "extends"}


def _refuse_unreachable(
    workspace: TargetWorkspace, findings: Findings, data: Mapping[str, Mapping[str, Any]], known: set[str]
) -> None:
    for name, service in data.items():
        joined = list(service.get("networks") or (DEFAULT_NETWORK,))
        findings.reasons.extend(
            f"its service {name} joins the network {network}, which this workspace does not have"
            for network in joined
            if network not in known
        )
        findings.reasons.extend(
            f"{code_service.name} shares no network with the module's service {name}: "
            f"add it to {', '.join(map(str, joined))}"
            for code_service in workspace.services
            if not set(joined) & set(code_service.networks) and not code_service.data.get("network_mode")
        )

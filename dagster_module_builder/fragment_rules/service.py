"""The keys of a Compose service that a module may have by itself.

The keys are the Compose specification's (https://github.com/compose-spec/compose-spec/blob/main/05-services.md).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping

from dagster_module_builder.fragment_rules.mounts import volumes, volumes_for_code
from dagster_module_builder.fragment_rules.owner import below_root
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.rule import (
    Rule,
    Where,
    anything,
    each,
    matching,
    named_after,
    own_path,
    table,
    words,
)
from dagster_module_builder.fragment_rules.values import Value
from dagster_module_builder.shared_files.formats import env_value

_HARMLESS = (
    "attach", "command", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset",
    "depends_on", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "expose", "extra_hosts",
    "healthcheck", "hostname", "init", "links", "mac_address", "mem_limit", "mem_reservation", "mem_swappiness",
    "memswap_limit", "pids_limit", "platform", "ports", "profiles", "pull_policy", "read_only", "restart", "scale",
    "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "tmpfs", "tty", "ulimits", "working_dir", "cap_drop",
)  # fmt: skip
_LOG_DRIVERS = ("json-file", "local", "none", "journald")
_NOT_AS_ROOT = matching(
    r"\$\{WORKSPACE_UID(?::-\d+)?\}:\$\{WORKSPACE_GID(?::-\d+)?\}"
    r"|(?!root(?::|$))(?:[1-9]\d*|[A-Za-z_][\w.-]*)(?::(?:\d+|[A-Za-z_][\w.-]*))?"
)
_ENV_OF_ALL = "has the passwords of every module in it: list the variables that it needs under 'environment:'"
_BUILDS = "is built from what is not the module's"
_DECLARED = "is not declared by the module"
_FOR_EVERYBODY = "decides how the processes of all modules run"
_MACHINE = "is read by Compose itself"
_WITHOUT_VALUE = "takes its value from the shell of whoever starts the workspace, and is not the module's"


def _labels(where: Where, value: Value) -> Iterator[Refused]:
    texts = value.entries() if value.is_mapping else ((item.text or "", item) for item in value.items())
    for name, one in texts:
        if name.startswith("com.docker.") or "$" in name.partition("=")[0]:
            yield from where.at(name.partition("=")[0]).refuse(one, _MACHINE)


def _env_file(where: Where, value: Value) -> Iterator[Refused]:
    for one in value.items() if value.is_list else (value,):
        path = one.get("path") if one.is_mapping else one
        if path is None or path.is_null:
            continue
        is_shared = below_root(path.text or "") == "services/dagster/.env"
        if is_shared and where.service_name not in where.owner.code_servers:
            yield from where.refuse(path, _ENV_OF_ALL)
        elif not is_shared:
            # https://docs.docker.com/reference/compose-file/services/#env_file
            is_raw = one.is_mapping and (form := one.get("format")) is not None and form.text == "raw"
            yield from own_path(where, path, "raw" if is_raw else "filled in")


def _label_file(where: Where, value: Value) -> Iterator[Refused]:
    yield from own_path(where, value, "filled in")


def _network_mode(where: Where, value: Value) -> Iterator[Refused]:
    kind, _, service = (value.text or "").partition(":")
    if value.text != "none" and not (kind == "service" and service in where.owner.services):
        yield from where.refuse(value)


def _extends(where: Where, value: Value) -> Iterator[Refused]:
    service = value.get("service") if value.is_mapping else value
    is_own = service is not None and service.text in where.owner.services
    if not is_own or set(value.keys()) - {"service"}:
        yield from where.refuse(value)


def _alias(where: Where, value: Value) -> Iterator[Refused]:
    if value.text not in where.owner.services:
        yield from named_after(where, value)


_NETWORK = table(
    {
        "aliases": each(_alias),
        **dict.fromkeys(("ipv4_address", "ipv6_address", "priority", "gw_priority", "interface_name"), anything),
    }
)


def networks(where: Where, value: Value) -> Iterator[Refused]:
    """Allow networks by name, and in them no name of others."""
    for name, one in value.entries():
        if not one.is_null:
            yield from _NETWORK(where.at(name), one)


def _declared(where: Where, value: Value) -> Iterator[Refused]:
    for one in value.items() if value.is_list else (value,):
        source = one.get("source") if one.is_mapping else one
        if source is None or source.text not in where.owner.mounted_files:
            yield from where.refuse(source or one, _DECLARED)


def _declared_by_name(where: Where, value: Value) -> Iterator[Refused]:
    # In the long form it could be put over a file that the service starts from.
    yield from _declared(where, value) if value.text is not None else where.refuse(value)


def _image(where: Where, value: Value) -> Iterator[Refused]:
    if where.service is not None and where.service.get("build") is not None:
        yield from named_after(where, value)


def _values(where: Where, value: Value) -> Iterator[Refused]:
    """Allow names with values; without one, Compose takes it from the shell."""
    items = ((item.text or "", item) for item in value.items())
    without = [(name, one) for name, one in value.entries() if one.is_null]
    for name, one in [*without, *((text, item) for text, item in items if "=" not in text)]:
        if not where.owner.may_use(name):
            yield from where.refuse(one, _WITHOUT_VALUE, name)


_BUILD_KEYS = table(
    {
        "args": _values,
        "context": anything,
        "dockerfile": anything,
        "network": words("none", "default"),
        "privileged": words("false"),
        **dict.fromkeys(
            ("target", "shm_size", "platforms", "pull", "no_cache", "dockerfile_inline", "ulimits", "labels"),
            anything,
        ),
    },
    otherwise=anything,
)


def _build(where: Where, value: Value) -> Iterator[Refused]:
    yield from _BUILD_KEYS(where, value)
    context = value.get("context") if value.is_mapping else value
    folder = below_root(context.text or "") if context else "services/dagster"
    is_root = folder == "." and where.service_name in where.owner.code_servers
    dockerfile = value.get("dockerfile") if value.is_mapping else None
    inside = below_root(dockerfile.text or "", folder or ".") if dockerfile and not dockerfile.is_null else None
    if dockerfile is None and value.get("dockerfile_inline") is None:
        inside = posixpath.join(folder or ".", "Dockerfile")
    if folder is None or not (where.owner.owns(folder) or is_root):
        yield from where.at("context").refuse(context or value, _BUILDS)
    elif value.get("dockerfile_inline") is None and (inside is None or not where.owner.owns(inside)):
        yield from where.at("dockerfile").refuse(dockerfile or value, _BUILDS)
    else:
        where.needs(inside or folder, value)


def _environment_for_code(where: Where, value: Value) -> Iterator[Refused]:
    yield from _values(where, value)
    named = (
        value.entries() if value.is_mapping else (((item.text or "").partition("=")[0], item) for item in value.items())
    )
    for name, one in named:
        if env_value.is_reserved(name) or not re.fullmatch(r"[A-Za-z_]\w*", name):
            yield from where.refuse(one, _FOR_EVERYBODY, name)


_ANY_OF_THEM = dict.fromkeys(("cpus", "memory", "pids"), anything)
_DEPLOY = table(
    {
        **dict.fromkeys(
            ("mode", "replicas", "endpoint_mode", "update_config", "rollback_config", "restart_policy", "placement"),
            anything,
        ),
        "labels": _labels,
        "resources": table({"limits": table(_ANY_OF_THEM), "reservations": table(_ANY_OF_THEM)}),
    }
)
_HOOK = each(
    table({**dict.fromkeys(("command", "working_dir"), anything), "environment": _values, "user": _NOT_AS_ROOT})
)

_SERVICE: Mapping[str, Rule] = {
    **dict.fromkeys(_HARMLESS, anything),
    "build": _build,
    "cgroup": words("private"),
    "configs": _declared,
    "container_name": named_after,
    "deploy": _DEPLOY,
    "env_file": _env_file,
    "environment": _values,
    "extends": _extends,
    "image": _image,
    "ipc": words("private", "none"),
    "label_file": each(_label_file),
    "labels": _labels,
    "logging": table({"driver": words(*_LOG_DRIVERS), "options": anything}),
    "network_mode": _network_mode,
    "networks": networks,
    "post_start": _HOOK,
    "pre_stop": _HOOK,
    "privileged": words("false"),
    "secrets": _declared,
    "security_opt": words("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"),
    "user": _NOT_AS_ROOT,
    "volumes": volumes,
}

service: Rule = table(_SERVICE)

#: What goes into every service that runs code, and not only into the module's own.
for_code: Rule = table(
    {
        "depends_on": anything,
        "environment": _environment_for_code,
        "labels": _labels,
        "networks": networks,
        "secrets": each(_declared_by_name),
        "volumes": volumes_for_code,
    }
)

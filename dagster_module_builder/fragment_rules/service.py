"""The keys of a Compose service that a module may have without permission.

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
    SettingPath,
    anything,
    each_item,
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
_ENV_OF_ALL = "contains the passwords of every module: list the variables that the service needs under 'environment:'"
_BUILDS = "is built from files that are not the module's"
_DECLARED = "is not declared by the module"
_FOR_ALL = "changes how the processes of all modules run"
_MACHINE = "is read by Compose itself"
_WITHOUT_VALUE = "gets its value from the shell that starts the workspace, and is not the module's"


def _labels(where: SettingPath, value: Value) -> Iterator[Refused]:
    texts = value.entries() if value.is_mapping else ((label.text or "", label) for label in value.items())
    for name, label in texts:
        if name.startswith("com.docker.") or "$" in name.partition("=")[0]:
            yield from where.at(name.partition("=")[0]).refuse(label, _MACHINE)


def _env_file(where: SettingPath, value: Value) -> Iterator[Refused]:
    for item in value.items() if value.is_list else (value,):
        path = item.get("path") if item.is_mapping else item
        if path is None or path.is_null:
            continue
        is_shared = below_root(path.text or "") == "services/dagster/.env"
        if is_shared and where.service_name not in where.owner.code_servers:
            yield from where.refuse(path, _ENV_OF_ALL)
        elif not is_shared:
            # https://docs.docker.com/reference/compose-file/services/#env_file
            is_raw = item.is_mapping and (form := item.get("format")) is not None and form.text == "raw"
            yield from own_path(where, path, "raw" if is_raw else "filled in")


def _label_file(where: SettingPath, value: Value) -> Iterator[Refused]:
    yield from own_path(where, value, "filled in")


def _network_mode(where: SettingPath, value: Value) -> Iterator[Refused]:
    kind, _, service = (value.text or "").partition(":")
    if value.text != "none" and not (kind == "service" and service in where.owner.services):
        yield from where.refuse(value)


def _extends(where: SettingPath, value: Value) -> Iterator[Refused]:
    service = value.get("service") if value.is_mapping else value
    is_own = service is not None and service.text in where.owner.services
    if not is_own or set(value.keys()) - {"service"}:
        yield from where.refuse(value)


def _alias(where: SettingPath, value: Value) -> Iterator[Refused]:
    if value.text not in where.owner.services:
        yield from named_after(where, value)


_NETWORK = table(
    {
        "aliases": each_item(_alias),
        **dict.fromkeys(("ipv4_address", "ipv6_address", "priority", "gw_priority", "interface_name"), anything),
    }
)


def networks(where: SettingPath, value: Value) -> Iterator[Refused]:
    """Allow networks by name, without aliases that are names of others."""
    for name, settings in value.entries():
        if not settings.is_null:
            yield from _NETWORK(where.at(name), settings)


def _declared(where: SettingPath, value: Value) -> Iterator[Refused]:
    for item in value.items() if value.is_list else (value,):
        source = item.get("source") if item.is_mapping else item
        if source is None or source.text not in where.owner.mounted_files:
            yield from where.refuse(source or item, _DECLARED)


def _declared_by_name(where: SettingPath, value: Value) -> Iterator[Refused]:
    # The long form could mount it over a file that the service needs.
    yield from _declared(where, value) if value.text is not None else where.refuse(value)


def _image(where: SettingPath, value: Value) -> Iterator[Refused]:
    if where.service is not None and where.service.get("build") is not None:
        yield from named_after(where, value)


def _values(where: SettingPath, value: Value) -> Iterator[Refused]:
    """Allow variables with values; a variable without one gets that of the shell."""
    items = ((setting.text or "", setting) for setting in value.items())
    without = [(name, setting) for name, setting in value.entries() if setting.is_null]
    for name, setting in [*without, *((text, setting) for text, setting in items if "=" not in text)]:
        if not where.owner.may_use(name):
            yield from where.refuse(setting, _WITHOUT_VALUE, name)


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


def _build(where: SettingPath, value: Value) -> Iterator[Refused]:
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


def _environment_for_code(where: SettingPath, value: Value) -> Iterator[Refused]:
    yield from _values(where, value)
    named = (
        value.entries()
        if value.is_mapping
        else (((setting.text or "").partition("=")[0], setting) for setting in value.items())
    )
    for name, setting in named:
        if env_value.is_reserved(name) or not re.fullmatch(r"[A-Za-z_]\w*", name):
            yield from where.refuse(setting, _FOR_ALL, name)


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
_HOOK = each_item(
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
    "label_file": each_item(_label_file),
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

#: Settings for every service that runs code, not only for the module's.
for_code: Rule = table(
    {
        "depends_on": anything,
        "environment": _environment_for_code,
        "labels": _labels,
        "networks": networks,
        "secrets": each_item(_declared_by_name),
        "volumes": volumes_for_code,
    }
)

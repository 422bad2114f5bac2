"""The parts of the allow-lists: rules for values, which yield what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from dagster_module_builder.fragment_rules.owner import Owner, OwnPath, below_root
from dagster_module_builder.fragment_rules.refused import Refused, setting
from dagster_module_builder.fragment_rules.values import Value
from dagster_module_builder.shared_files.formats import compose

UNKNOWN = "is not a setting that modules may have without permission"


@dataclass(frozen=True)
class SettingPath:
    """The path of a setting in a fragment.

    Attributes:
        owner: The module.
        place: What has the setting: ``services.shop_db``.
        path: The key path below that; empty for the place itself.
        service: The service that has the setting, if any.
        file: The shared file that the fragment is for.
    """

    owner: Owner
    place: str
    path: str = ""
    service: Value | None = None
    file: str = compose.NAME

    def at(self, key: str) -> SettingPath:
        """Return the path of a key in this setting."""
        return replace(self, path=f"{self.path}.{key}" if self.path else key)

    @property
    def service_name(self) -> str:
        """The service's name."""
        return self.place.partition(".")[2]

    def refuse(self, value: Value, why: str = "", text: str | None = None) -> Iterator[Refused]:
        """Refuse a value, each scalar in it separately, so that allowing one allows no other.

        Args:
            value: The value.
            why: What it would do.
            text: The value in a shorter form.
        """
        reason = why or _why(self.path)
        leaves = [(self.path, value)] if text is not None else value.leaves(self.path)
        for path, leaf in leaves:
            name = setting(path, leaf.text if text is None else text)
            yield Refused(self.file, leaf.position + 1, self.place, name, reason)

    def needs(self, path: str, value: Value, variables: str = "") -> None:
        """Note a path that must not lead elsewhere, and how variables are read from it."""
        self.owner.paths.append(OwnPath(self.file, value.position + 1, path, variables))


#: Yields the refused settings of a value.
Rule = Callable[[SettingPath, Value], Iterator[Refused]]

_RIGHTS = "gives the container rights over this machine"
_NAMESPACE = "shares a namespace with this machine or with other containers"
_READS = "reads a file that is not the module's"
_WHY = {
    "privileged": _RIGHTS, "cap_add": _RIGHTS, "devices": _RIGHTS, "device_cgroup_rules": _RIGHTS, "gpus": _RIGHTS,
    "security_opt": _RIGHTS, "group_add": _RIGHTS, "cgroup_parent": _RIGHTS, "runtime": _RIGHTS, "sysctls": _RIGHTS,
    "use_api_socket": "gives the container Docker's socket, and with it control of this machine",
    "pid": _NAMESPACE, "ipc": _NAMESPACE, "uts": _NAMESPACE, "cgroup": _NAMESPACE, "userns_mode": _NAMESPACE,
    "network_mode": _NAMESPACE, "volumes_from": "mounts what other services mount",
    "include": "includes a Compose file that was not checked",
    "extends": "extends a service that was not checked",
    "provider": "runs a program of this machine", "credential_spec": _READS, "env_file": _READS, "label_file": _READS,
    "user": "runs as root or as an unknown user", "external_links": "reaches containers of others",
    "external": "uses what belongs to another project", "driver_opts": "can mount any folder of this machine",
    "entitlements": _RIGHTS, "ssh": "gives the build SSH keys of this machine",
    "develop": "copies files of this machine into the container",
}  # fmt: skip


def _why(path: str) -> str:
    """Return what a refused setting would do, according to its innermost known key."""
    return next((_WHY[key] for key in reversed(path.split(".")) if key in _WHY), UNKNOWN)


def anything(_where: SettingPath, _value: Value) -> Iterator[Refused]:
    """Allow any value."""
    return iter(())


def words(*allowed: str) -> Rule:
    """Allow these words, alone or in a list."""

    def rule(where: SettingPath, value: Value) -> Iterator[Refused]:
        for item in value.items() if value.is_list else (value,):
            if not item.is_null and item.text not in allowed:
                yield from where.refuse(item)

    return rule


def matching(pattern: str, why: str = "") -> Rule:
    """Allow texts of this pattern."""
    compiled = re.compile(pattern)

    def rule(where: SettingPath, value: Value) -> Iterator[Refused]:
        if not value.is_null and not compiled.fullmatch(value.text or "\n"):
            yield from where.refuse(value, why)

    return rule


def table(rules: Mapping[str, Rule], otherwise: Rule | None = None) -> Rule:
    """Allow a mapping with these keys, each by its rule, and extensions (``x-…``), which Compose ignores.

    Args:
        rules: The rule of each key.
        otherwise: The rule of values that are not mappings; None refuses them.
    """

    def rule(where: SettingPath, value: Value) -> Iterator[Refused]:
        if not value.is_mapping and not value.is_null:
            yield from otherwise(where, value) if otherwise else where.refuse(value)
        for key, item in value.entries():
            if not key.startswith("x-"):
                yield from rules.get(key, SettingPath.refuse)(where.at(key), item)

    return rule


def each_item(inner: Rule) -> Rule:
    """Allow a list, or a single item, if this rule allows each item."""

    def rule(where: SettingPath, value: Value) -> Iterator[Refused]:
        for item in value.items() if value.is_list else (value,):
            yield from inner(where, item)

    return rule


def own_path(where: SettingPath, value: Value, variables: str = "") -> Iterator[Refused]:
    """Allow a path in the module's folder."""
    path = below_root(value.text or "")
    if path is not None and where.owner.owns(path):
        where.needs(path, value, variables)
    elif not value.is_null:
        yield from where.refuse(value)


def named_after(where: SettingPath, value: Value) -> Iterator[Refused]:
    """Allow a name that contains the module's."""
    if not value.is_null and not where.owner.is_named_after(value.text or ""):
        yield from where.refuse(value, "is a name that another module or project may use: include the module's name")

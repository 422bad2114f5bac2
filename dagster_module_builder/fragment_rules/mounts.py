"""What a module's services may mount: the module's volumes and folder, and folders below the workspace's ``data/``.

The forms are the Compose specification's (https://github.com/compose-spec/compose-spec/blob/main/05-services.md#volumes).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dagster_module_builder.fragment_rules.owner import below_root
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.rule import SettingPath, anything, table, words
from dagster_module_builder.fragment_rules.values import Value

#: Folders of the system that decide how containers run.
_SYSTEM_FOLDER = re.compile(r"/(?:(?:bin|boot|dev|etc|lib(?:32|64|x32|exec)?|proc|root|run|sbin|sys|usr)(?:/.*)?)?")
_SHARED_FOLDERS = ("/workspace", "/opt/dagster", "/tmp/dagster_storage")  # noqa: S108 - a path in containers
#: Volumes that a code server may mount like every service that runs code.
_CODE_SERVER_VOLUMES = {"dagster_home": "/opt/dagster/home/storage", "dagster_storage": "/tmp/dagster_storage"}  # noqa: S108
_WORKSPACE = "/workspace"
_CODE_SERVER_USER = re.compile(r"\$\{WORKSPACE_UID(?::-\d+)?\}:\$\{WORKSPACE_GID(?::-\d+)?\}|[1-9]\d*(?::[1-9]\d*)?")

_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: Allowed modes of a mount; propagation is not among them.
_MODES = {"ro", "rw", "z", "Z", "cached", "delegated", "consistent", "nocopy"}

_ELSEWHERE = "mounts what is not the module's: it may mount its own volumes and folder, and folders below data/"
_AS_ROOT = "mounts the workspace into a code server without 'user: ${WORKSPACE_UID:-1000}:${WORKSPACE_GID:-1000}'"
_OVER = "covers a folder that services need to run code"


@dataclass(frozen=True)
class _Mount:
    """A mount.

    Attributes:
        source: A volume or a path; empty for an anonymous volume.
        target: The path in the container.
        read_only: Whether it is read-only.
    """

    source: str
    target: str
    read_only: bool = False

    @property
    def name(self) -> str:
        """Its name for ``--allow``: ``shop_data:ro``."""
        return f"{self.source or self.target}{':ro' if self.read_only else ''}"


def volumes(where: SettingPath, value: Value) -> Iterator[Refused]:
    """Allow the mounts of one of the module's services."""
    for item in value.items() if value.is_list else (value,):
        yield from _mount(where, item)


def volumes_for_code(where: SettingPath, value: Value) -> Iterator[Refused]:
    """Allow mounts in every service that runs code, but not over folders that it needs."""
    for item in value.items() if value.is_list else (value,):
        yield from _mount(where, item)
        mount = _short(item.text) if item.text else _Mount("", _text(item, "target"))
        if mount and _covers_shared(mount.target, where.owner.snake):
            yield from where.refuse(item, _OVER, mount.target)


def _covers_shared(target: str, snake: str) -> bool:
    path = "/" + posixpath.normpath(target).lstrip("/")
    if path == f"/tmp/dagster_storage/{snake}":  # noqa: S108 - a path in containers
        return False
    is_system = "$" in target or _SYSTEM_FOLDER.fullmatch(path) is not None
    return is_system or any(
        path.startswith(f"{folder}/") or f"{folder}/".startswith(f"{path}/") for folder in _SHARED_FOLDERS
    )


def _mount(where: SettingPath, item: Value) -> Iterator[Refused]:
    if item.text is not None:
        mount = _short(item.text)
        if mount is None:
            yield from where.refuse(item, _ELSEWHERE)
            return
    else:
        problems = list(_LONG(where, item))
        yield from problems
        mount = _Mount(_text(item, "source"), _text(item, "target"), _text(item, "read_only") == "true")
        kind = _text(item, "type")
        if kind == "tmpfs" and not mount.source:
            return
        # In a bind mount a plain name is a folder beside the compose file.
        mount = (
            replace(mount, source=f"./{mount.source}") if kind == "bind" and _VOLUME.fullmatch(mount.source) else mount
        )
    if why := _against(where, item, mount):
        yield from where.refuse(item, why, mount.name)


def _text(item: Value, key: str) -> str:
    value = item.get(key)
    return (value.text or "") if value and not value.is_null else ""


_LONG = table(
    {
        "type": words("bind", "volume", "tmpfs"),
        "source": anything,
        "target": anything,
        "read_only": words("true", "false"),
        "consistency": anything,
        "bind": table(
            {
                "create_host_path": anything,
                "selinux": words("z", "Z"),
                "propagation": words("private", "rprivate"),
                "recursive": words("disabled"),
            }
        ),
        "volume": table({"nocopy": anything, "subpath": anything, "labels": anything}),
        "tmpfs": table({"size": anything, "mode": anything}),
    }
)


def _short(text: str) -> _Mount | None:
    """Return a mount in short form (``source:target:ro``); None if its meaning is not certain."""
    parts = text.split(":")
    if "$" in text or "\\" in text or len(parts) > 3:
        return None
    if len(parts) == 1:
        return _Mount("", text) if text.startswith("/") else None
    modes = set(parts[2].split(",")) if len(parts) == 3 else set()
    return _Mount(parts[0], parts[1], "ro" in modes) if parts[0] and modes <= _MODES else None


def _against(where: SettingPath, item: Value, mount: _Mount) -> str | None:
    """Return why a mount is refused; None if it is allowed."""
    owner, is_code_server = where.owner, where.service_name in where.owner.code_servers
    if not mount.source:
        return None if mount.target.startswith("/") else _ELSEWHERE
    if _VOLUME.fullmatch(mount.source):
        is_shared = is_code_server and _CODE_SERVER_VOLUMES.get(mount.source) == mount.target
        return None if mount.source in owner.volumes or is_shared else _ELSEWHERE
    path = below_root(mount.source) if mount.source.startswith(".") else None
    if path == "." and is_code_server and mount.target == _WORKSPACE:
        user = where.service.get("user") if where.service else None
        return None if user and _CODE_SERVER_USER.fullmatch(user.text or "") else _AS_ROOT
    if path is None or not owner.may_mount(path):
        return _ELSEWHERE
    where.needs(path, item)
    return None

"""Databases whose module is added over an old volume: the database keeps the password that it had then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.claims.stores import Stores
from dagster_module_builder.programs import compose_command, engine
from dagster_module_builder.shared_files.formats import compose, env_file
from dagster_module_builder.shared_files.formats.yaml_text import parsed
from dagster_module_builder.transactions.backups import backup_ids
from dagster_module_builder.transactions.plan import Plan
from dagster_module_builder.transactions.registry import ModuleEntry, parse_registry
from dagster_module_builder.workspaces.passwords import account_passwords, steps
from dagster_module_builder.workspaces.restore import kept_file
from dagster_module_builder.workspaces.workspace import Workspace


@dataclass(frozen=True)
class Returning:
    """A database that starts on an old volume.

    Attributes:
        module: The module.
        path: Its folder, relative to the workspace's root.
        volume: The volume, as the compose file calls it.
        backup: The newest backup that has another password for it; None where no backup has one.
        steps: The command that changes the password in the server; empty where that takes the old one.
    """

    module: str
    path: str
    volume: str
    backup: str | None
    steps: str

    def __str__(self) -> str:
        fragment = f"{self.path}/{settings.FRAGMENTS}/.env"
        old = f", as backup {self.backup} has it in {settings.BACKUPS}," if self.backup else ""
        now = "the module has another one now" if self.backup else "the module may have another one now"
        typed = f"\nOr start it with 'workspace.up', and type the new password: {self.steps}" if self.steps else ""
        return (
            f"{self.module}: the volume {self.volume} exists already. Its database keeps the password that it was made "
            f"with, and {now}.\nPut the old password{old} into {fragment}, and run 'workspace.sync'.{typed}"
            f"\nOr delete its data: workspace.remove {self.module} --delete-data"
        )


def returning(workspace: Workspace, plan: Plan, *, ask: bool) -> Iterator[Returning]:
    """Yield the databases that a plan adds over an old volume, unless a backup shows that the password is the same.

    Args:
        workspace: The workspace as it was read.
        plan: What is to be done to it.
        ask: Also ask Docker about volumes that the registry does not record.
    """
    after = {change.path: change.after for change in plan.changes}
    registry = parse_registry(plan.changes[-1].path, plan.changes[-1].after)
    new = [entry for entry in registry.entries if workspace.registry.find(entry.name) is None and entry.database]
    if not new or not workspace.layout.has_compose:
        return
    data = parsed(after.get(workspace.path(compose.NAME)) or b"")
    env = env_file.values(after.get(workspace.path(env_file.NAME)) or b"")
    for entry in new:
        name = str((entry.database or {}).get("service"))
        service = ((data or {}).get("services") or {}).get(name) or {}
        kept = _kept(workspace, entry, _volumes(service), ask=ask)
        passwords = account_passwords(service, env)
        known, backup = _known_passwords(workspace, service, passwords)
        if kept and passwords and known != passwords:
            first = next(iter(passwords))
            command = steps(workspace, name, first, "") if first.startswith("POSTGRES") else ""
            yield Returning(entry.name, entry.path, kept[0], backup, command)


def _volumes(service: Mapping[str, Any]) -> list[str]:
    """Return the volumes that a service mounts by name."""
    mounts = [
        str(mount.get("source", "")) if isinstance(mount, dict) else str(mount).partition(":")[0]
        for mount in service.get("volumes") or ()
    ]
    return [source for source in mounts if source and PurePosixPath(source).name == source and source[0] not in ".~"]


def _kept(workspace: Workspace, entry: ModuleEntry, volumes: list[str], *, ask: bool) -> list[str]:
    """Return which of a module's volumes exist: Docker says it, or, without Docker, the registry."""
    existing: set[str] = {*workspace.registry.left_behind.get(entry.marker, Stores()).volumes}
    if volumes and ask and compose_command.is_installed():
        # If Docker does not answer, the registry counts.
        with contextlib.suppress(ToolError):
            existing = set(engine.volume_keys(workspace.stack.project))
    return [volume for volume in volumes if volume in existing]


def _known_passwords(
    workspace: Workspace, service: Mapping[str, Any], wanted: Mapping[str, str]
) -> tuple[dict[str, str], str | None]:
    """Return a service's passwords in the newest backup that has them, and its id if they differ from ``wanted``."""
    variables = workspace.path(env_file.NAME).relative_to(workspace.root).as_posix()
    for identity in reversed(backup_ids(workspace.root)):
        old = account_passwords(service, env_file.values(kept_file(workspace.root, identity, variables) or b""))
        if any(old.values()):
            return old, identity if old != wanted else None
    return {}, None

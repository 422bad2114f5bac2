"""Databases whose module comes into the workspace over a volume from before: it keeps the password that it had then."""

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

_ENV = (settings.SERVICES / env_file.NAME).as_posix()


@dataclass(frozen=True)
class Returning:
    """A database that finds a volume from before.

    Attributes:
        module: The module.
        volume: The volume, as the compose file calls it.
        backup: The newest backup that has another password for it; None where no backup has one.
        steps: The command that changes the password in the server; empty where that takes the old one.
    """

    module: str
    volume: str
    backup: str | None
    steps: str

    def __str__(self) -> str:
        fragment = f"{settings.PROJECTS}/{self.module}/{settings.FRAGMENTS}/.env"
        old = f", as backup {self.backup} has it in {settings.BACKUPS}," if self.backup else ""
        now = "the module brings another one now" if self.backup else "the module may bring another one now"
        typed = f"\nOr start it with 'workspace.up', and type the new password: {self.steps}" if self.steps else ""
        return (
            f"{self.module}: the volume {self.volume} is from before. Its database keeps the password that it was made "
            f"with, and {now}.\nPut the old password{old} into {fragment}, and run 'workspace.sync'.{typed}"
            f"\nOr delete what it stored: workspace.remove {self.module} --delete-data"
        )


def returning(workspace: Workspace, plan: Plan, *, ask: bool) -> Iterator[Returning]:
    """Yield the databases that a plan brings in over an old volume, unless a backup has the password that they get.

    Args:
        workspace: The workspace as it was read.
        plan: What is to be done to it.
        ask: Ask Docker about volumes that the registry does not remember, too.
    """
    after = {change.path.name: change.after for change in plan.changes}
    registry = parse_registry(plan.changes[-1].path, plan.changes[-1].after)
    new = [entry for entry in registry.entries if workspace.registry.find(entry.name) is None and entry.database]
    if not new:
        return
    data = parsed(after.get(compose.NAME) or b"")
    env = env_file.values(after.get(env_file.NAME) or b"")
    for entry in new:
        name = str((entry.database or {}).get("service"))
        service = ((data or {}).get("services") or {}).get(name) or {}
        kept = _kept(workspace, entry, _volumes(service), ask=ask)
        passwords = account_passwords(service, env)
        known, backup = _known_passwords(workspace, service, passwords)
        if kept and passwords and known != passwords:
            first = next(iter(passwords))
            command = steps(workspace, name, first, "") if first.startswith("POSTGRES") else ""
            yield Returning(entry.name, kept[0], backup, command)


def _volumes(service: Mapping[str, Any]) -> list[str]:
    """Return the volumes that a service mounts by name."""
    mounts = [
        str(mount.get("source", "")) if isinstance(mount, dict) else str(mount).partition(":")[0]
        for mount in service.get("volumes") or ()
    ]
    return [source for source in mounts if source and PurePosixPath(source).name == source and source[0] not in ".~"]


def _kept(workspace: Workspace, entry: ModuleEntry, volumes: list[str], *, ask: bool) -> list[str]:
    """Return which of a module's volumes there are, as Docker says; without Docker, as the registry remembers."""
    there: set[str] = {*workspace.registry.left_behind.get(entry.marker, Stores()).volumes}
    if volumes and ask and compose_command.is_installed():
        # Where Docker does not answer, what is remembered is said.
        with contextlib.suppress(ToolError):
            there = set(engine.volume_keys(workspace.stack.project))
    return [volume for volume in volumes if volume in there]


def _known_passwords(
    workspace: Workspace, service: Mapping[str, Any], wanted: Mapping[str, str]
) -> tuple[dict[str, str], str | None]:
    """Return the passwords of a service as the newest backup that has them says, and its id where they are others."""
    for identity in reversed(backup_ids(workspace.root)):
        found = account_passwords(service, env_file.values(kept_file(workspace.root, identity, _ENV) or b""))
        if any(found.values()):
            return found, identity if found != wanted else None
    return {}, None

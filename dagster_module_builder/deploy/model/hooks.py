"""``hooks:`` of ``deployment.yaml``: what runs at the steps of a deployment, here or on its hosts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.transactions import module_files

#: Seconds until a hook is killed, unless it says otherwise.
LIMIT = 600
#: The points that every host reaches by itself: a hook that runs here runs once for each host there.
FOR_EACH_HOST = frozenset({"before_transfer", "after_transfer", "before_verify", "after_verify"})
#: The points after the change, at which a failure warns.
AFTER_THE_SWITCH = frozenset({"after_switch", "after_rollback", "on_failure"})


@dataclass(frozen=True)
class Hook:
    """What runs at one point of a deployment.

    Attributes:
        point: When: ``before_switch``.
        where: On the hosts, or here.
        command: A line for ``/bin/sh``; None if it is a file.
        file: An executable file, by its path in the deployment's folder; None if it is a command.
        limit: Seconds until it is killed.
        rolls_back: Whether its failure rolls back all hosts; before the switch it always does.
    """

    point: str
    where: Literal["hosts", "here"] = "hosts"
    command: str | None = None
    file: str | None = None
    limit: int = LIMIT
    rolls_back: bool = True

    @property
    def name(self) -> str:
        """The hook as a person wrote it: its file or its command."""
        return str(self.file or self.command)

    def __str__(self) -> str:
        place = "here" if self.where == "here" else "on the host"
        return f"{self.point} {place}: {self.name} (at most {self.limit} s)"


def all_hooks(deployment: Deployment) -> list[Hook]:
    """Return all hooks of a deployment, in the order of its file."""
    written = deployment.data.get("hooks") or {}
    return [_hook(point, entry) for point, entries in written.items() for entry in entries]


def hooks_at(deployment: Deployment, point: str) -> list[Hook]:
    """Return the hooks of one point, in the order in which they run."""
    return [_hook(point, entry) for entry in (deployment.data.get("hooks") or {}).get(point, [])]


def _hook(point: str, entry: Mapping[str, Any]) -> Hook:
    values = {key: value for key, value in entry.items() if key != "on_failure"}
    # What has been switched stays, unless the hook says otherwise.
    usual = "warn" if point in AFTER_THE_SWITCH else "rollback"
    return Hook(point, **values, rolls_back=entry.get("on_failure", usual) == "rollback")


def path_of(deployment: Deployment, hook: Hook) -> Path:
    """Return the path of a hook that is a file."""
    return deployment.folder / str(hook.file)


def content_of(deployment: Deployment, hook: Hook) -> bytes:
    """Return the bytes of a hook that is a file.

    Raises:
        RefusedError: It is missing, is not executable, or is not a file of the module.
    """
    path = path_of(deployment, hook)
    content = module_files.read(deployment.module, path)
    if content is None:
        raise RefusedError(f"{path} is missing: it is a hook in deployment.yaml ({hook.point}).")
    if not os.access(path, os.X_OK):
        raise RefusedError(f"{path} is not executable, but is a hook: run 'chmod +x' on it.")
    return content


def digests(deployment: Deployment) -> dict[str, str]:
    """Return the SHA-256 of each file that is a hook, by its path in the deployment's folder.

    Raises:
        RefusedError: One of them cannot be run.
    """
    files = {hook.file: hook for hook in all_hooks(deployment) if hook.file}
    return {file: hashlib.sha256(content_of(deployment, hook)).hexdigest() for file, hook in sorted(files.items())}


def runs_here(deployment: Deployment) -> bool:
    """Tell whether a deployment has hooks that run on this machine, or tells others what happens."""
    return bool(deployment.data.get("notifications")) or any(hook.where == "here" for hook in all_hooks(deployment))

"""Keeping outputs: a volume for the module if outputs do not last or are not shared."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from dagster_module_builder.compose.service import Mount, innermost
from dagster_module_builder.fitting.target_workspace import (
    STORAGE_VARIABLE,
    Findings,
    TargetWorkspace,
    refuse_read_only,
)
from dagster_module_builder.shared_files.formats import dagster_yaml

DEFAULT_STORAGE = "/tmp/dagster_storage"  # noqa: S108 - a path in containers, where a volume is mounted


@dataclass(frozen=True)
class OutputStorage:
    """Where the services that run code store outputs.

    Attributes:
        reasons: Why a module cannot store there.
        lacking: The folder in the containers, if it does not last or is not shared.
    """

    reasons: Sequence[str] = ()
    lacking: str | None = None


def keep_outputs(workspace: TargetWorkspace, findings: Findings, marker: str) -> list[str]:
    """Ensure that outputs last and are shared; return the folders in containers that were added."""
    storage = workspace.once(storage_of)
    findings.reasons += storage.reasons
    folder = storage.lacking
    return [] if folder is None else _own_volume(workspace, findings, marker, folder)


def storage_of(workspace: TargetWorkspace) -> OutputStorage:
    """Return where the services that run code store outputs."""
    stores = {service.variable(STORAGE_VARIABLE) or DEFAULT_STORAGE for service in workspace.services}
    if len(stores) != 1:
        return OutputStorage(
            [f"the services that run code store in {' and in '.join(sorted(stores))}: set one {STORAGE_VARIABLE}"]
        )
    store = stores.pop()
    if "://" in store:
        return OutputStorage()
    if workspace.launcher.kind not in {dagster_yaml.LOCAL, dagster_yaml.DOCKER} and not workspace.has_workers:
        vanishing = f"{workspace.launcher.kind} starts runs where outputs in {store} would be lost"
        return OutputStorage([f"{vanishing}: set {STORAGE_VARIABLE} to object storage"])
    mounts = [service.mounts for service in workspace.services] + (
        [workspace.run_mounts] if workspace.in_containers else []
    )
    folder = posixpath.normpath(store)
    return OutputStorage() if _is_shared(mounts, folder) else OutputStorage(lacking=folder)


def _is_shared(mounts: Sequence[Sequence[Mount]], path: str) -> bool:
    inside = [innermost(service_mounts, path) for service_mounts in mounts]
    sources = {mount.source_of(path) if mount and mount.writable and mount.lasting else None for mount in inside}
    return len(sources) == 1 and None not in sources


def _own_volume(workspace: TargetWorkspace, findings: Findings, marker: str, store: str) -> list[str]:
    # A volume for all modules would belong to no module's block. An asset's key begins with its module's name, so the
    # outputs of a module are in one folder of the store, and that folder can be a volume of the module.
    volume, folder = f"{marker}_storage", f"{store}/{marker}"
    for service in workspace.services:
        refuse_read_only(findings, service, folder)
        findings.mount(service.name, volume, folder)
    findings.volumes.append(f"{volume}:".encode())
    if workspace.in_containers:
        # The launcher uses the engine's names, so the name must not depend on how Compose is called.
        real = f"{workspace.stack.project}_{volume}"
        findings.volumes.append(f"  name: {real}".encode())
        findings.run_mounts.append((real, folder))
    return [store, folder]

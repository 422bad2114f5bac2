"""Whether outputs last and are shared; a volume of the module's own where they are not."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass

from dagster_module_builder.compose.service import Mount, innermost
from dagster_module_builder.fitting.surroundings import STORAGE_VARIABLE, Findings, Surroundings, refuse_read_only
from dagster_module_builder.shared_files.formats import dagster_yaml

DEFAULT_STORAGE = "/tmp/dagster_storage"  # noqa: S108 - a path in containers, where a volume is mounted


@dataclass(frozen=True)
class Storage:
    """Where the services that run code store outputs.

    Attributes:
        reasons: Why a module cannot store there.
        lacking: The folder in the containers, where it does not last or is not shared.
    """

    reasons: Sequence[str] = ()
    lacking: str | None = None


def keep_outputs(around: Surroundings, findings: Findings, marker: str) -> list[str]:
    """See to it that outputs last and are shared; return the folders in containers that were added for it."""
    storage = around.once(storage_of)
    findings.reasons += storage.reasons
    folder = storage.lacking
    return [] if folder is None else _own_volume(around, findings, marker, folder)


def storage_of(around: Surroundings) -> Storage:
    """Return where the services that run code store outputs."""
    stores = {service.variable(STORAGE_VARIABLE) or DEFAULT_STORAGE for service in around.services}
    if len(stores) != 1:
        return Storage(
            [f"the services that run code store in {' and in '.join(sorted(stores))}: set one {STORAGE_VARIABLE}"]
        )
    store = stores.pop()
    if "://" in store:
        return Storage()
    if around.launcher.kind not in {dagster_yaml.LOCAL, dagster_yaml.DOCKER}:
        vanishing = f"{around.launcher.kind} starts runs where outputs in {store} would vanish"
        return Storage([f"{vanishing}: set {STORAGE_VARIABLE} to object storage"])
    mounts = [service.mounts for service in around.services] + ([around.run_mounts] if around.in_containers else [])
    folder = posixpath.normpath(store)
    return Storage() if _is_shared(mounts, folder) else Storage(lacking=folder)


def _is_shared(mounts: Sequence[Sequence[Mount]], path: str) -> bool:
    inside = [innermost(one, path) for one in mounts]
    sources = {mount.source_of(path) if mount and mount.writable and mount.lasting else None for mount in inside}
    return len(sources) == 1 and None not in sources


def _own_volume(around: Surroundings, findings: Findings, marker: str, store: str) -> list[str]:
    # A volume for all modules would belong to none of their blocks. An asset's key begins with its module's name, so
    # the outputs of one module lie in one folder below the store, and that folder can be the module's own volume.
    volume, folder = f"{marker}_storage", f"{store}/{marker}"
    for service in around.services:
        refuse_read_only(findings, service, folder)
        findings.mount(service.name, volume, folder)
    findings.volumes.append(f"{volume}:".encode())
    if around.in_containers:
        # The launcher knows the engine's names only, so this one may not depend on how Compose is called.
        real = f"{around.stack.project}_{volume}"
        findings.volumes.append(f"  name: {real}".encode())
        findings.run_mounts.append((real, folder))
    return [store, folder]

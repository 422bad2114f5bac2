"""Where the assets of a host's modules are stored: found out, refused where nothing lasts, and brought along."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts import host_storage
from dagster_module_builder.deploy.hosts.host_requests import SPARE
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_storage import HostStorage
from dagster_module_builder.deploy.model.deployment import FILE
from dagster_module_builder.deploy.model.host_settings import ENV
from dagster_module_builder.deploy.strategies.base import load_strategy


def choose(run: HostRun, envs: Mapping[str, bytes]) -> None:
    """Find out where the modules of a host store from now on; in containers, that is a volume.

    Args:
        run: The host.
        envs: The settings that each module is about to get.

    Raises:
        RefusedError: It is a place that does not last.
    """
    seen = run.inspection["storage"]
    if seen is None:
        return
    # A code server of a module's own has settings of its own.
    merged = [one for one in run.target.deployments if not load_strategy(one.strategy).serves]
    given = {str(one.folder / ENV): envs[one.names.name] for one in merged}
    in_use = bool(run.inspection["dagster"].get("locations"))
    run.storage = host_storage.storage_of(run.base, run.settings(), seen, given, is_in_use=in_use)
    for place in [*filter(None, [run.storage]), *_of_servers(run)]:
        if reason := host_storage.problem(place, run.base, seen["temporary"]):
            raise RefusedError(f"{run.target}: {reason}")


def _of_servers(run: HostRun) -> list[HostStorage]:
    """Return where the modules store that have a code server of their own."""
    own = [one.own for one in run.target.deployments if load_strategy(one.strategy).serves]
    folders = [host_storage.own_folder(section) or run.storage_folder for section in own]
    return [HostStorage(folder, f"'docker: storage' in {FILE}, or its default", folder) for folder in folders]


def bring(run: HostRun) -> None:
    """Have in the storage of from now on what was stored where nothing lasts; said again, what is new there."""
    if run.storage and run.storage.brings:
        run.report("storage")
        run.conversation.ask("bring", folder=run.storage.place, need=SPARE)


def notes(run: HostRun) -> list[str]:
    """Return what a person should know of where assets are stored now."""
    if run.inspection["storage"] is None:
        return []
    return host_storage.notes(run.storage) if run.storage else [host_storage.unknown(run.settings()[0])]

"""Where a host's modules store assets: found out, refused if it does not last, and copied there."""

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
    """Find out where the modules of a host will store assets; containers have a volume for that.

    Args:
        run: The host.
        envs: The new settings of each module.

    Raises:
        RefusedError: That folder does not last.
    """
    seen = run.inspection["storage"]
    if seen is None:
        return
    # A module with its own code server has its settings there.
    merged = [deployment for deployment in run.target.deployments if not load_strategy(deployment.strategy).serves]
    settings = {str(deployment.folder / ENV): envs[deployment.names.name] for deployment in merged}
    in_use = bool(run.inspection["dagster"].get("locations"))
    run.storage = host_storage.storage_of(run.base, run.settings(), seen, settings, is_in_use=in_use)
    for place in [*filter(None, [run.storage]), *_of_servers(run)]:
        if reason := host_storage.problem(place, run.base, seen["temporary"]):
            raise RefusedError(f"{run.target}: {reason}")


def _of_servers(run: HostRun) -> list[HostStorage]:
    """Return where the modules with their own code server store assets."""
    own = [deployment.own for deployment in run.target.deployments if load_strategy(deployment.strategy).serves]
    folders = [host_storage.own_folder(section) or run.storage_folder for section in own]
    return [HostStorage(folder, f"'docker: storage' in {FILE}, or its default", folder) for folder in folders]


def bring(run: HostRun) -> None:
    """Copy assets from the folder that does not last to the new one; called again, copy what is new."""
    if run.storage and run.storage.brings:
        run.report("storage")
        run.conversation.ask("bring", folder=run.storage.place, need=SPARE)


def notes(run: HostRun) -> list[str]:
    """Return notes for the user about where assets are stored now."""
    if run.inspection["storage"] is None:
        return []
    return host_storage.notes(run.storage) if run.storage else [host_storage.unknown(run.settings()[0])]

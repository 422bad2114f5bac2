"""Deployments, as far as it can be seen from here: no host is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.connection.host_keys import is_pinned
from dagster_module_builder.deploy.model.deployment import all_deployments, read_deployment
from dagster_module_builder.doctor.diagnosis import Diagnosis, ok, problem, warning


def deployments(root: Path) -> Iterator[Diagnosis]:
    """Look whether deployments can be read, and whether the keys of their hosts are pinned."""
    good = 0
    for folder in all_deployments(root):
        found = list(_of_one(folder))
        yield from found
        good += not found
    if good:
        yield ok(
            "deployments", f"{good} can be read, and their hosts' keys are pinned; 'deploy.check NAME' asks the hosts"
        )


def _of_one(folder: Path) -> Iterator[Diagnosis]:
    name = f"{folder.name} of {folder.parent.parent.name}"
    try:
        hosts = read_deployment(folder).hosts
        unpinned = [str(host) for host in hosts if not is_pinned(host.address)]
    except BuilderError as error:
        yield problem("deployments", f"{name}: {error}", f"configure-deployment {folder.parent.parent.name}")
        return
    if unpinned:
        yield warning(
            "deployments", f"{name}: no key is pinned of {', '.join(unpinned)}", f"deploy.trust {folder.name}"
        )

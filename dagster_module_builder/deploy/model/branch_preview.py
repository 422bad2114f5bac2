"""Previews of branches: where they go, what they are called, and a preview as a deployment like any other.

A preview gets none of production's settings but those that ``shares`` names: ``PREVIEW_NAME`` in ``.env.deploy`` gives
it ``NAME``, so that the code of a branch cannot reach production's database by an oversight.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.model.deployment import FILE, Deployment, host_entry

SECTION = "preview"
#: Below a base path: the folder of all previews.
FOLDER = "previews"
PORTS, KEEP_DAYS = (3100, 3199), 14


@dataclass(frozen=True)
class PreviewPlace:
    """Where the previews of a deployment go.

    Attributes:
        host: The host's entry, as below ``hosts``.
        base_path: The base path below which they are.
        ports: The first port for their webservers, and the last.
        keep_days: Days after its last deployment that a preview is removed.
        storage: Where production stores assets; None to read nothing there.
        url: Where people see a preview; None without a gate.
    """

    host: Mapping[str, Any]
    base_path: str
    ports: tuple[int, int]
    keep_days: int
    storage: str | None
    url: str | None

    def path_of(self, name: str) -> str:
        """Return the base path of a preview."""
        return f"{self.base_path.rstrip('/')}/{FOLDER}/{name}"

    def address_of(self, name: str, port: int) -> str | None:
        """Return where people see a preview; None without a gate."""
        return self.url and self.url.replace("{preview}", name).replace("{port}", str(port))


def place_of(deployments: Sequence[Deployment]) -> PreviewPlace:
    """Return where the previews of a deployment go, of one module or of several.

    Raises:
        RefusedError: ``deployment.yaml`` does not say it, or the modules disagree.
    """
    places = [_place(deployment) for deployment in deployments]
    for deployment, place in zip(deployments, places, strict=True):
        if place != places[0]:
            raise RefusedError(
                f"{deployments[0].names.name} and {deployment.names.name} disagree on their previews: write the same "
                f"below 'preview:' in their deployment.yaml, or pass --module."
            )
    return places[0]


def _place(deployment: Deployment) -> PreviewPlace:
    own = deployment.data.get(SECTION)
    if not own:
        raise RefusedError(
            f"{deployment.folder / FILE} does not say where previews go: add 'preview:' with 'host:', and pin its key "
            f"with 'deploy.trust {deployment.name}'."
        )
    first, last = map(int, own["ports"].split("-")) if own.get("ports") else PORTS
    if not 1024 <= first <= last <= 65535:
        raise RefusedError(f"{deployment.folder / FILE}: 'ports: {first}-{last}' below 'preview:' has no usable port.")
    return PreviewPlace(
        {key: value for key, value in host_entry(own["host"]).items() if value},
        str(own.get("base_path") or deployment.data["base_path"]).rstrip("/") or "/",
        (first, last),
        int(own.get("keep_days") or KEEP_DAYS),
        own.get("storage") or None,
        own.get("url") or None,
    )


def name_of(repository: str, deployment: str, branch: str) -> str:
    """Return a preview's name, short enough for any address: ``3f1c0a9b7e``."""
    return hashlib.sha256(f"{repository}\0{deployment}\0{branch}".encode()).hexdigest()[:10]


def as_preview(deployment: Deployment, place: PreviewPlace, name: str, branch: str, port: int) -> Deployment:
    """Return a preview of a branch as a deployment.

    Its files are those of the branch's commit, whatever the strategy is, and its code runs in its own environment: a
    host for previews needs no Docker and no registry.

    Args:
        deployment: The deployment that it is a preview of.
        place: Where it goes.
        name: Its name.
        branch: The branch.
        port: The port of its webserver.
    """
    data, own = deployment.data, deployment.data[SECTION]
    usual = deployment.environment
    # The Python of a Dagster that runs elsewhere says nothing about this host.
    python = own.get("python") or (usual["python"] if usual["kind"] == "venv" else "python3")
    git = {key: value for key, value in (data.get("git") or {}).items() if key in {"path", "include"}}
    ssh = {**(data.get("ssh") or {}), "identity_file": deployment.identity_file}
    changed = {
        "strategy": "git", "git": {**git, "branch": branch}, "hosts": [place.host], "base_path": place.path_of(name),
        "ssh": ssh, "dagster": {"kind": "native", "url": f"http://127.0.0.1:{port}", "folder": "."},
        "environment": {"kind": "venv", "python": python}, "python": None, "network": None, "database": None,
        "docker": None, "hooks": own.get("hooks") or {}, "notifications": [], "keep": 2,
    }  # fmt: skip
    return replace(deployment, data={**data, **changed}, preview_name=name, _fetched={})

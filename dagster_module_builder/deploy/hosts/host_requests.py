"""The values of requests to a host. Pure: nothing is sent here."""

from __future__ import annotations

import base64
import hashlib
import secrets
import zlib
from typing import Any

from dagster_module_builder.deploy.host_side.manifest import brief
from dagster_module_builder.deploy.hosts import host_storage
from dagster_module_builder.deploy.hosts.host_files import REGISTRY
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.release import Staged
from dagster_module_builder.transactions.plan import FileChange

#: Free space that a release needs beside its own size, in bytes.
SPARE = 64 << 20
#: The port of code servers in Dagster's own network.
SERVER_PORT = 4000
#: The Compose service of Dagster's webserver, unless a deployment names another.
WEBSERVER = "dagster_webserver"


def beginning(module: str, identity: str, staged: Staged, *, shares: bool) -> dict[str, Any]:
    """Return the values of the request ``begin``, which makes a release's folder.

    Args:
        module: The module.
        identity: The release.
        staged: Its files.
        shares: Whether equal files of the current release are linked.
    """
    asked = {"module": module, "identity": identity, "need": staged.size + SPARE}
    return {**asked, "attached": zlib.compress("\n".join(map(brief, staged.lines)).encode())} if shares else asked


def as_request(change: FileChange) -> dict[str, Any]:
    """Return a shared file's change for the request ``switch``, with the hash of the old bytes."""
    return {
        "path": str(change.path),
        "before": None if change.before is None else hashlib.sha256(change.before).hexdigest(),
        "text": None if change.after is None else base64.b64encode(change.after).decode(),
        "mode": change.mode,
        # The registry has digests of secrets, from which short ones could be guessed.
        "private": str(change.path) == REGISTRY,
    }


def serving(deployment: Deployment, identity: str, image: str, env: bytes, storage: str) -> dict[str, Any]:
    """Return the values of the request ``serve``, which starts a release's code server.

    Args:
        deployment: The deployment.
        identity: The release.
        image: The server's image.
        env: Its settings.
        storage: The folder of the host for its assets, if Dagster does not run in containers.
    """
    return {
        "name": server_name(deployment.names.name, identity),
        "image": image,
        "env": base64.b64encode(env).decode(),
        "package": deployment.names.definitions,
        "surroundings": surroundings(deployment, storage),
    }


def surroundings(deployment: Deployment, storage: str) -> dict[str, Any]:
    """Return where a code server runs: beside Dagster's containers, or on the host with its folders."""
    own = deployment.data.get("docker") or {}
    if deployment.kind == "compose":
        return {
            "network": deployment.data.get("network") or "workspace-net",
            "service": deployment.data["dagster"].get("service") or WEBSERVER,
            "folder": deployment.dagster_folder,
        }
    return {"storage": host_storage.own_folder(own) or storage, "dagster_home": own.get("dagster_home")}


def server_name(module: str, identity: str) -> str:
    """Return a new name for a code server, short enough for a host name: ``sales-20260131t120000z-0a1b-7f3c``."""
    return f"{module[:20].rstrip('-_')}-{identity.lower()}-{secrets.token_hex(2)}"

"""What a host is asked for, as its side of the conversation takes it. Pure; nothing here speaks to anybody."""

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
#: Where code servers in Dagster's own network listen.
SERVER_PORT = 4000
#: The Compose service of Dagster's webserver, unless a deployment names another.
WEBSERVER = "dagster_webserver"


def beginning(module: str, identity: str, staged: Staged, *, shares: bool) -> dict[str, Any]:
    """Return how a release begins on the host.

    Args:
        module: Whose release it is.
        identity: The release.
        staged: What will be in it.
        shares: Whether what the current release has alike is linked.
    """
    asked = {"module": module, "identity": identity, "need": staged.size + SPARE}
    return {**asked, "attached": zlib.compress("\n".join(map(brief, staged.lines)).encode())} if shares else asked


def as_request(change: FileChange) -> dict[str, Any]:
    """Return a shared file's change, by the hash of what it has to be before."""
    return {
        "path": str(change.path),
        "before": None if change.before is None else hashlib.sha256(change.before).hexdigest(),
        "text": None if change.after is None else base64.b64encode(change.after).decode(),
        "mode": change.mode,
        # The registry has digests of secrets, by which short ones can be guessed.
        "private": str(change.path) == REGISTRY,
    }


def serving(deployment: Deployment, identity: str, image: str, env: bytes, storage: str) -> dict[str, Any]:
    """Return how the host starts a release's code server.

    Args:
        deployment: Of which module, and how.
        identity: The release.
        image: What the server starts from.
        env: Its settings.
        storage: The folder of the host that it stores in, where Dagster does not run in containers.
    """
    return {
        "name": server_name(deployment.names.name, identity),
        "image": image,
        "env": base64.b64encode(env).decode(),
        "package": deployment.names.definitions,
        "surroundings": surroundings(deployment, storage),
    }


def surroundings(deployment: Deployment, storage: str) -> dict[str, Any]:
    """Return what a code server has around it on the host."""
    own = deployment.data.get("docker") or {}
    if deployment.kind == "compose":
        return {
            "network": deployment.data.get("network") or "workspace-net",
            "service": deployment.data["dagster"].get("service") or WEBSERVER,
            "folder": deployment.dagster_folder,
        }
    return {"storage": host_storage.own_folder(own) or storage, "dagster_home": own.get("dagster_home")}


def server_name(module: str, identity: str) -> str:
    """Return a name for one start of a release's code server: short enough for a host, and never given before."""
    return f"{module[:20].rstrip('-_')}-{identity.lower()}-{secrets.token_hex(2)}"

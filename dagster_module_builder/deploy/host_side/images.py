"""Images that releases run from: pulled by digest, kept by a tag for each release, removed with the release."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile

from .client import tail
from .compose import inspected
from .errors import RefusedError
from .files import read_json, write
from .outside import complaint_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from .host import Host

#: A folder in memory, for credentials that must not be written to a disk.
MEMORY = "/dev/shm"  # noqa: S108 - a folder that only its owner can enter is made in it
#: Seconds that pulling an image may take.
FETCHING = 3600.0
#: The most images to report the layers of; a command line has room for as many.
MOST = 500


def kept_as(module: str, identity: str) -> str:
    """Return the tag that keeps a release's image from being cleaned up as unused."""
    return f"dagster-module-builder/{module}:{identity}"


def layers_here(host: Host) -> dict[str, Any]:
    """Return the layers of each image on this host, so that the client sends only the missing ones."""
    command = ["docker", "image", "ls", "--all", "--quiet", "--no-trunc"]
    images = list(dict.fromkeys(host.client.ask(command, code="docker", limit=60)[1].split()))
    layers = inspected(host, "image", "{{range .RootFS.Layers}}{{.}} {{end}}", images[:MOST])
    return {"layers": [line.split() for line in layers]}


def fetch(
    host: Host, image: str, registry: str = "", user: str | None = None, password: str | None = None
) -> dict[str, Any]:
    """Pull an image by its digest, unless this host has it.

    Args:
        host: This host.
        image: ``repository@sha256:…``; an image without a digest came over the connection and cannot be pulled.
        registry: The registry to log in at with ``user`` and ``password``; without them, this host's login counts.
        user: The user to log in as.
        password: The user's password; it is passed by standard input, and stays in memory.
    """
    if is_here(host, image):
        return {"pulled": False}
    if "@" not in image:
        raise RefusedError("docker", f"The host no longer has the image {image}: deploy its commit again.")
    own: contextlib.AbstractContextManager[dict[str, str]] = configuration() if user else contextlib.nullcontext({})
    with own as chosen:
        environ = {**os.environ, **chosen}
        if user:
            command = ["docker", "login", "--username", user, "--password-stdin", registry]
            code, said = host.client.run(command, (password or "").encode(), 120, env=environ)
            if code:
                raise RefusedError("docker", f"{user!r} cannot log in at {registry} from the host: {last_line(said)}")
        code, said = host.client.run(["docker", "pull", "--quiet", image], None, FETCHING, env=environ)
    if code:
        raise RefusedError("docker", refusal(image, said))
    return {"pulled": True}


@contextlib.contextmanager
def configuration() -> Iterator[dict[str, str]]:
    """Yield the variables for a temporary Docker configuration: a login writes its password there."""
    theirs = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    with tempfile.TemporaryDirectory(prefix="dmb-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        # It ends with our end of its input, so that the folder goes too when this process is killed.
        command = ["/bin/sh", "-c", 'cat >/dev/null; rm -rf "$0"', folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
            # The same engine as without this configuration.
            if current := read_json(os.path.join(theirs, "config.json"), {}).get("currentContext"):
                write(os.path.join(folder, "config.json"), json.dumps({"currentContext": current}).encode(), 0o600)
                os.symlink(os.path.join(theirs, "contexts"), os.path.join(folder, "contexts"))
            yield {"DOCKER_CONFIG": folder}


def refusal(image: str, said: str) -> str:
    """Return why an image could not be pulled, and what to do."""
    reason = last_line(said)
    if "no space left" in said:
        return f"The host's disk is too full for {image}: {reason}. Make room where Docker keeps its images."
    if "manifest unknown" in said or "not found" in said:
        return f"The registry no longer has {image}: {reason}. Deploy its commit again."
    if "unauthorized" in said or "denied" in said or "no basic auth" in said:
        return (
            f"The registry denies the host access to {image}: {reason}. Run 'docker login' on the host, "
            f"or set DEPLOY_REGISTRY_PULL_USER and DEPLOY_REGISTRY_PULL_PASSWORD for the deployment."
        )
    return f"{image} could not be pulled: {reason}. Check that the host can reach the registry."


def last_line(said: str) -> str:
    """Return the last line of a program's output, without its period."""
    lines = tail(said).splitlines()
    return lines[-1].strip().rstrip(".") if lines else "it did not say why"


def is_here(host: Host, image: str) -> bool:
    """Tell whether this host has an image."""
    return bool(inspected(host, "image", "{{.Id}}", [image]))


def foreign(host: Host, image: str) -> str | None:
    """Return that an image was built for another kind of processor than this host has; None if it was not."""
    try:
        wanted = inspected(host, "image", "{{.Architecture}}", [image])
        own = host.client.ask(["docker", "version", "--format", "{{.Server.Arch}}"], code="docker", limit=60)[1].strip()
    except RefusedError as error:
        return f"It is not known whether the image fits this host's processor: {error}"
    if not wanted or wanted[0] == own:
        return None
    return f"The image is for {wanted[0]}, and this host is {own}: set 'docker: platform' in deployment.yaml."


def forget_image(host: Host, module: str, identity: str, image: str | None) -> None:
    """Remove a release's image, unless another release has the same one."""
    if not image:
        return
    # An image in use, or gone already, is no failure: a spare tag costs space until the host's next clean-up.
    complaint_of(["docker", "image", "rm", kept_as(module, identity)])
    folder = host.of(module, "releases")
    releases = os.listdir(folder) if os.path.isdir(folder) else []
    others = [release for release in releases if "." not in release and release != identity]
    records = [read_json(os.path.join(folder, release, "RELEASE.json"), {}) for release in others]
    if image not in [record.get("image") for record in records]:
        complaint_of(["docker", "image", "rm", image])

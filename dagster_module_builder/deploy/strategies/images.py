"""Images on this machine: built and pushed by Docker's own command line, or saved for hosts without a registry."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.base.settings import expanded
from dagster_module_builder.programs import outside_programs

#: The login at the registry, here and on the hosts. If they are not set, each machine uses Docker's own configuration
#: and its credential helpers.
USER, PASSWORD = "DEPLOY_REGISTRY_USER", "DEPLOY_REGISTRY_PASSWORD"
#: A login that may only pull. If they are set, even to nothing, no host gets the login that may push.
PULL_USER, PULL_PASSWORD = "DEPLOY_REGISTRY_PULL_USER", "DEPLOY_REGISTRY_PULL_PASSWORD"

_DIGEST = re.compile(r"digest: (sha256:[0-9a-f]{64})")
_LAST = 4000


def credentials(image: str) -> dict[str, str]:
    """Return a host's login at an image's registry; empty if the host uses its own configuration.

    Raises:
        RefusedError: There is a user without a password, or a password without a user.
    """
    return _login(image, *((PULL_USER, PULL_PASSWORD) if PULL_USER in os.environ else (USER, PASSWORD)))


def _login(image: str, user_variable: str, password_variable: str) -> dict[str, str]:
    user, password = os.environ.get(user_variable, ""), os.environ.get(password_variable, "")
    if bool(user) != bool(password):
        raise RefusedError(f"Set both {user_variable} and {password_variable}, or neither.")
    if not user or "@" not in image:
        return {}
    return {"registry": registry_of(image), "user": user, "password": password}


def registry_of(image: str) -> str:
    """Return the registry that an image's name begins with."""
    return image.partition("/")[0]


@contextlib.contextmanager
def logged_in(image: str) -> Iterator[Mapping[str, str]]:
    """Yield the variables with which ``docker`` is logged in at an image's registry."""
    chosen = _login(f"{image}@", USER, PASSWORD)
    if not chosen:
        yield {}
        return
    with _configuration() as environ:
        command = ["login", "--username", chosen["user"], "--password-stdin", chosen["registry"]]
        docker(command, stdin=chosen["password"].encode(), environ=environ)
        yield environ


@contextlib.contextmanager
def _configuration() -> Iterator[Mapping[str, str]]:
    """Yield the variables for a temporary Docker configuration: a login writes its password there."""
    theirs = expanded(os.environ.get("DOCKER_CONFIG") or "~/.docker")
    memory = "/dev/shm"  # noqa: S108 - the folder made in it is for its owner only
    with tempfile.TemporaryDirectory(prefix="dmb-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        # It ends when its input is closed, so the folder is removed even if this process is killed.
        command = ["/bin/sh", "-c", 'cat >/dev/null; rm -rf "$0"', folder]
        with outside_programs.start(command, stdin=subprocess.PIPE, start_new_session=True):
            # The same engine as without this configuration.
            with contextlib.suppress(OSError, ValueError, KeyError):
                current = json.loads((theirs / "config.json").read_text("utf-8"))["currentContext"]
                Path(folder, "config.json").write_text(json.dumps({"currentContext": current}), "utf-8")
                Path(folder, "contexts").symlink_to(theirs / "contexts")
            yield {"DOCKER_CONFIG": folder}


def docker(
    arguments: Sequence[str],
    *,
    stdin: bytes | IO[bytes] | None = None,
    into: IO[bytes] | None = None,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Run ``docker`` on this machine and return its output.

    Args:
        arguments: The arguments of ``docker``.
        stdin: Its standard input: bytes, or a file.
        into: The file for its standard output.
        environ: Variables beside the process's own.

    Raises:
        ToolError: It failed; with its last words.
    """
    asked = outside_programs.ask(
        ["docker", *arguments],
        named=f"docker {arguments[0]} here",
        stdin=stdin,
        out=into or subprocess.PIPE,
        errors=subprocess.PIPE if into else subprocess.STDOUT,
        environ={**os.environ, **(environ or {})},
    )
    return (asked.errors if into else asked.out).decode("utf-8", "replace")


def builder() -> Mapping[str, str]:
    """Return the variables that choose BuildKit if it is installed, and else the classic builder."""
    if "DOCKER_BUILDKIT" in os.environ:
        return {}
    # Without the plugin the status is 1 (unknown command) or 125 (unknown flag).
    if outside_programs.ask(["docker", "buildx", "version"], answers=(0, 1, 125)).status == 0:
        return {"DOCKER_BUILDKIT": "1"}
    client = docker(["--version"])
    # Before 23 the engine contains BuildKit, and the command line needs no plugin for it.
    version = re.search(r"version (\d+)\.", client)
    return {"DOCKER_BUILDKIT": "1" if version and int(version[1]) < 23 else "0"}


@dataclass(frozen=True)
class Recipe:
    """How an image is built.

    Attributes:
        dockerfile: The Dockerfile's path in the build context.
        tag: The image's name and tag.
        platform: The platform that it runs on: ``linux/amd64``.
        arguments: Build arguments.
        labels: The image's labels.
    """

    dockerfile: str
    tag: str
    platform: str
    arguments: Mapping[str, str]
    labels: Mapping[str, str]

    def command(self) -> list[str]:
        """Return the arguments of ``docker`` that build it from a context on standard input."""
        command = ["build", "--platform", self.platform, "--file", self.dockerfile, "--tag", self.tag]
        command += [part for name, value in self.arguments.items() for part in ("--build-arg", f"{name}={value}")]
        command += [part for name, value in self.labels.items() for part in ("--label", f"{name}={value}")]
        return [*command, "-"]


def build(context: IO[bytes], recipe: Recipe) -> str:
    """Build an image, tag it, and return its identity.

    Args:
        context: The build context, a tar archive.
        recipe: How it is built.
    """
    try:
        docker(recipe.command(), stdin=context, environ=builder())
    except ToolError as error:
        # The classic builder has one platform for each name; BuildKit pulls the requested one.
        if "does not match the specified platform" in str(error):
            raise ToolError(f"{error}\nInstall Docker's plugin buildx to build for {recipe.platform} here.") from None
        raise
    return docker(["image", "inspect", "--format", "{{.Id}}", recipe.tag]).strip()


def push(tag: str) -> str:
    """Push an image, and return its digest in the registry.

    Raises:
        ToolError: The registry did not take all of it.
    """
    with logged_in(tag) as environ:
        try:
            said = docker(["push", tag], environ=environ)
        except ToolError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ToolError(f"{tag} could not be pushed: {reason}. {_cure(str(error), tag)}") from None
    digests = _DIGEST.findall(said)
    if not digests:
        raise ToolError(f"docker push printed no digest of {tag}: {said.strip()[-_LAST:]}")
    return str(digests[-1])


def _cure(said: str, tag: str) -> str:
    if re.search("unauthorized|denied|no basic auth", said):
        return f"Log in with 'docker login {registry_of(tag)}', or set {USER} and {PASSWORD}."
    return f"Check that the registry {registry_of(tag)} is reachable and has space, then deploy again."


def name_of(registry: str, image: str) -> str:
    """Return an image's name without a tag."""
    return image if registry == "none" else f"{registry}/{image}"


def context_of(files: Mapping[str, Path], folder: IO[bytes]) -> None:
    """Write a build context: the same bytes for the same files, on every machine."""
    with tarfile.open(fileobj=folder, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in sorted(files.items()):
            archive.add(path, name, recursive=False, filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    return member

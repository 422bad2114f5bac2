"""A new release: its folder, the files that arrive in it, and the check that its definitions load."""

from __future__ import annotations

import base64
import json
import os
import zlib

from .definitions import check_definitions
from .errors import RefusedError
from .files import digest, lasting, put, read, read_json, write
from .host import STATE
from .manifest import Hashes, brief, make_read_only, manifest, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def make_layout(host: Host, base: str) -> dict[str, Any]:
    """Make the folder that holds all modules; ``made`` tells whether it is new."""
    host.base = os.path.expanduser(base)
    made = not os.path.isdir(host.modules)
    os.makedirs(host.modules, mode=0o755, exist_ok=True)
    return {"base": host.base, "made": made}


def write_new(host: Host, path: str, text: str, mode: int) -> dict[str, Any]:
    """Write a file, unless it exists; ``made`` tells whether it is new."""
    path = os.path.join(host.base, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        return {"made": False}
    write(path, base64.b64decode(text), mode)
    return {"made": True}


def expect(host: Host, base: str, modules: list[str]) -> dict[str, Any]:
    """Begin to hash the current releases of modules that are about to be deployed; nothing is changed."""
    host.base = os.path.expanduser(base)
    for module in modules:
        hash_current(host, module, read_json(host.of(module, STATE), {}).get("current"))
    return {}


def hash_current(host: Host, module: str, current: str | None) -> None:
    """Begin to hash a module's current release, unless that has begun already."""
    folder = current and host.release(module, current)
    if folder and (module not in host.hashes or host.hashes[module].folder != folder):
        host.hashes[module] = Hashes(folder)


def begin(host: Host, module: str, identity: str, need: int = 0, attached: bytes | None = None) -> dict[str, Any]:
    """Make a folder for a release, if there is enough space.

    Args:
        host: This host.
        module: The module.
        identity: The release.
        need: Bytes that must be free.
        attached: The release's manifest, brief and compressed; files that the current release has, too, are linked into
            the folder.

    Returns:
        ``folder``, ``current``, and ``lacking``: the numbers of the manifest's lines whose files must be sent; None for
        all of them.
    """
    if host.lock is None:
        raise RefusedError("locked", "The lock is not held.")
    host.refuse_full(need)
    for part in ("releases", "env", "shared", "venvs"):
        os.makedirs(host.of(module, part), mode=0o755, exist_ok=True)
    os.chmod(host.of(module, "env"), 0o700)
    if any(os.path.exists(host.release(module, identity) + suffix) for suffix in ("", ".bad")):
        raise RefusedError("exists", f"The host has a release {identity} already: deploy again.")
    folder = host.release(module, identity) + ".tmp"
    os.mkdir(folder, 0o755)
    current = read_json(host.of(module, STATE), {}).get("current")
    hash_current(host, module, current)
    wanted = zlib.decompress(attached).decode().splitlines() if current and attached else None
    lacking = None if wanted is None else share(folder, host.release(module, current), wanted)
    return {"folder": folder, "current": current, "lacking": lacking}


def share(folder: str, current: str, wanted: list[str]) -> list[int]:
    """Link equal files of the current release into a new one's folder; return the numbers of the other lines."""
    text = (read(os.path.join(current, "manifest.sha256")) or b"").decode()
    present = {brief(line): line for line in text.splitlines()}
    made: set[str] = set()
    return [
        number
        for number, line in enumerate(wanted)
        if line not in present or not linked(current, folder, path_of(present[line]), made)
    ]


def linked(current: str, folder: str, path: str, made: set[str]) -> bool:
    """Link one file; tell whether that worked: it may be gone, or belong to another user."""
    target = os.path.join(folder, path)
    parent = os.path.dirname(target)
    try:
        if parent not in made:
            os.makedirs(parent, 0o755, exist_ok=True)
            made.add(parent)
        os.link(os.path.join(current, path), target, follow_symlinks=False)
    except OSError:
        return False
    return True


def receive(_: Host, folder: str, attached: bytes) -> dict[str, Any]:
    """Write files that were sent in the conversation.

    Args:
        folder: The new release's folder.
        attached: A line of JSON with the kind, path and size of each file, then their contents, one after the other;
            compressed.
    """
    listed, __, contents = zlib.decompress(attached).partition(b"\n")
    left = memoryview(contents)
    made: set[str] = set()
    for kind, path, size in json.loads(listed):
        target = os.path.join(folder, path)
        parent = os.path.dirname(target)
        if parent not in made:
            os.makedirs(parent, 0o755, exist_ok=True)
            made.add(parent)
        write_whole(target, left[:size], 0o555 if kind == "x" else 0o444)
        left = left[size:]
    return {}


def write_whole(path: str, content: memoryview, mode: int) -> None:
    """Make a file with a mode."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        while content:
            content = content[os.write(handle, content) :]
    finally:
        os.close(handle)


def verify(
    host: Host,
    module: str,
    identity: str,
    wanted: str,
    record: dict[str, Any],
    check: dict[str, Any] | None = None,
    serve: dict[str, Any] | None = None,
    contents: str | None = None,
) -> dict[str, Any]:
    """Compare the files that arrived with those that were sent, complete the release, and load its definitions.

    Args:
        host: This host.
        module: The module.
        identity: The release.
        wanted: The digest of the manifest of the files that were sent.
        record: The content of ``RELEASE.json``.
        check: The arguments of ``check_definitions``; None if the release has its own code server.
        serve: The arguments of ``serve_release``.
        contents: The release's whole manifest, if only some of its content arrives as files.
    """
    folder = host.release(module, identity) + ".tmp"
    hashes = host.hashes.get(module) or Hashes()
    hashes.stop()
    arrived = manifest(folder, hashes)
    if digest(arrived.encode()) != wanted:
        raise RefusedError("manifest", f"The files in {folder} differ from those that were sent.", manifest=arrived)
    put(os.path.join(folder, "manifest.sha256"), (contents or arrived).encode())
    put(os.path.join(folder, "RELEASE.json"), json.dumps(record, indent=2).encode())
    make_read_only(folder)
    with lasting(folder):
        if serve is not None:
            # Most releases are no image.
            from .server_start import serve_release

            return serve_release(host, module, identity, folder=folder, **serve)
        return check_definitions(host, module, folder=folder, **(check or {}))

"""A release's files, taken from this host for another one: only if they still are what its manifest says."""

from __future__ import annotations

import base64
import os

from .errors import RefusedError
from .files import read
from .manifest import Hashes, manifest, path_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

#: Bytes of files in one answer, unless one file has more, and the most bytes of a file.
PART, LARGEST = 2 << 20, 4 << 20
#: Names of differing files that are reported.
MOST = 5


def take(host: Host, module: str, identity: str, begin: int = 0) -> dict[str, Any]:
    """Return a part of a release's files.

    Args:
        host: This host.
        module: The module.
        identity: The release.
        begin: The number of the first file, as an earlier answer said.

    Returns:
        ``manifest``: the lines of the files that are here; ``files``: their bytes (Base64) by path, and the target of a
        link; ``next``: the number of the next file, None after the last one.

    Raises:
        RefusedError: The files differ from the manifest, or one is too large for this way.
    """
    folder = host.release(module, identity)
    whole = (read(os.path.join(folder, "manifest.sha256")) or b"").decode()
    lines = (manifest(folder, Hashes()) if begin == 0 else present(folder, whole)).splitlines()
    if begin == 0:
        refuse_changed(folder, whole.splitlines(), lines)
    files: dict[str, str] = {}
    size, number = 0, begin
    while number < len(lines) and size < PART:
        path = path_of(lines[number])
        content = content_of(os.path.join(folder, path))
        size += len(content)
        files[path] = base64.b64encode(content).decode()
        number += 1
    text = "".join(f"{line}\n" for line in lines) if begin == 0 else ""
    return {"manifest": text, "files": files, "next": number if number < len(lines) else None}


def present(folder: str, whole: str) -> str:
    """Return the lines of a manifest whose files are here: of an image's release, most are in the image."""
    return "".join(f"{line}\n" for line in whole.splitlines() if os.path.lexists(os.path.join(folder, path_of(line))))


def refuse_changed(folder: str, wanted: list[str], found: list[str]) -> None:
    """Refuse a release whose files differ from its manifest; those that are not here may be in its image."""
    foreign = [path_of(line) for line in found if line not in set(wanted)]
    if foreign or not found:
        named = ", ".join(foreign[:MOST]) or "all of them are gone"
        raise RefusedError("changed", f"The files in {folder} are not those of the release any more: {named}.")


def content_of(path: str) -> bytes:
    """Return a file's bytes, or a link's target."""
    if os.path.islink(path):
        return os.fsencode(os.readlink(path))
    if os.stat(path).st_size > LARGEST:
        raise RefusedError("size", f"{path} has more than {LARGEST >> 20} MiB: deploy its commit instead.")
    return read(path) or b""

"""What a release consists of: its manifest, and the rights to its files."""

from __future__ import annotations

import hashlib
import json
import os
import stat

#: Files that a release holds beside the module's own.
OWN_FILES = ("RELEASE.json", "manifest.sha256")


def manifest(folder: str) -> str:
    """Return a line for each entry below a folder, by path: hash, kind, path. The client writes the same."""
    lines = []
    for where, folders, files in os.walk(folder):
        for name in [*files, *(one for one in folders if os.path.islink(os.path.join(where, one)))]:
            path = os.path.join(where, name)
            relative = os.path.relpath(path, folder)
            if relative not in OWN_FILES:
                lines.append(entry(path, relative))
    return "".join(sorted(lines))


def entry(path: str, relative: str) -> str:
    """Return the manifest's line for one file or link."""
    if os.path.islink(path):
        return f"{hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()} l {json.dumps(relative)}\n"
    kind = "x" if os.stat(path).st_mode & 0o100 else "f"
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            found.update(part)
    return f"{found.hexdigest()} {kind} {json.dumps(relative)}\n"


def make_read_only(folder: str) -> None:
    """Take the right to write from everything below a folder, and let everybody read it."""
    for where, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = os.path.join(where, name)
            if not os.path.islink(path):
                mode = stat.S_IMODE(os.stat(path).st_mode)
                wanted = (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o222
                if mode != wanted:
                    os.chmod(path, wanted)
        os.chmod(where, 0o555)  # noqa: S103 - code, which everybody may read

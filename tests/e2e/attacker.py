"""What code of one module tries, to learn what is another's: it prints what it got, as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import socket
import sys
from collections.abc import Iterator

#: Set by who runs this: digests of the secrets of others, whose text is not to be found here, and folders of others.
SECRETS: list[str] = []
PLACES: list[str] = []


def files(place: str) -> Iterator[str]:
    for folder, _, names in os.walk(place):
        yield from (f"{folder}/{name}" for name in names)


def contents() -> Iterator[str]:
    """Yield what can be read of the files of others, and of every process."""
    for path in [path for place in PLACES for path in files(place)]:
        try:
            yield f"{path}: {pathlib.Path(path).read_bytes().decode('utf-8', 'replace')}"
        except OSError:
            continue
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                yield f"{process}/{name}: {(process / name).read_bytes().decode('utf-8', 'replace')}"
            except OSError:
                continue
        try:
            yield f"{process}/root: {list((process / 'root' / 'owner').iterdir())}"
        except OSError:
            continue


def sockets() -> Iterator[str]:
    for path in sorted(pathlib.Path("/run/dagster/sockets").glob("*.sock")):
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except OSError:
                continue
            yield path.stem


def kills() -> Iterator[int]:
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.getuid():
                os.kill(int(process.name), 0)
                yield int(process.name)
        except OSError:
            continue


def becomes_root() -> bool:
    try:
        os.setuid(0)
    except OSError:
        return False
    return True


def digests() -> set[str]:
    """Return the digests of all that could be a password in what is seen."""
    seen = "\n".join([*contents(), *os.environ.values()])
    return {hashlib.sha256(word.encode()).hexdigest() for word in re.findall(r"[\w-]{16,}", seen)}


found = digests()
sys.stdout.write(
    json.dumps(
        {
            "secrets": [digest for digest in SECRETS if digest in found],
            "files": [path for place in PLACES for path in files(place) if os.access(path, os.R_OK)],
            "writable": [place for place in (*PLACES, "/etc", "/opt/dagster", "/owner") if os.access(place, os.W_OK)],
            "sockets": list(sockets()),
            "processes": list(kills()),
            "root": becomes_root(),
        }
    )
)

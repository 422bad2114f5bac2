"""Becomes modules' users, one after the other, and prints as JSON what the code of each sees. It needs root."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from dagster_module_builder.module_servers.apart import Apart
from dagster_module_builder.module_servers.listed import Listed

#: What secrets look like here.
SECRET = re.compile(rb"[a-z]+(?:-root)?-secret-[0-9]{2}")


def seen(base: Path, wanted: dict[str, str]) -> dict[str, Any]:
    """Return what this process can learn and do.

    Args:
        base: The folder with everything.
        wanted: The variables that are looked for, and the digests of their values.
    """
    readable = []
    for place, folders, files in os.walk(base):
        readable += [f"{place}/{name}" for name in files if os.access(f"{place}/{name}", os.R_OK)]
        folders.sort()
    (base / "out" / os.environ["USER"] / "value.data").write_text("stored")
    return {
        "user": [os.getuid(), os.getgid(), *os.getgroups()],
        "variables": {name: value for name, value in os.environ.items() if name in wanted},
        "readable": sorted(os.path.relpath(path, base) for path in readable),
        "writable": sorted(os.path.relpath(place, base) for place, *_ in os.walk(base) if os.access(place, os.W_OK)),
        "path": [path for path in sys.path if path.startswith(str(base))],
        "memory": in_memory(wanted),
        "root": becomes_root(),
    }


def in_memory(wanted: dict[str, str]) -> list[str]:
    """Return the names of what is in this process's memory, known by its digest: a copy of it here would be found."""
    found = set()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    with Path("/proc/self/mem").open("rb", 0) as memory:
        for start, end in (line[0].split("-") for line in maps if line[1].startswith("rw")):
            try:
                memory.seek(int(start, 16))
                content = memory.read(int(end, 16) - int(start, 16))
            except (OSError, OverflowError, ValueError):
                continue
            found |= {hashlib.sha256(text).hexdigest() for text in SECRET.findall(content)}
    return sorted(name for name, digest in wanted.items() if digest in found)


def becomes_root() -> bool:
    try:
        os.setuid(0)
    except OSError:
        return False
    return True


def as_module(apart: Apart, name: str, marker: str | None, folder: Path, wanted: dict[str, str]) -> int:
    """Become a module's user in another process; return where it tells what it sees, or why it could not become one."""
    read, write = os.pipe()
    user = apart.user_of(marker or name)
    if os.fork() == 0:
        try:
            apart.become(Listed(name, {}, ("-m", "code", "-d", str(folder))), marker, user)
            said: Any = seen(apart.copy.parent, wanted)
        except BaseException as error:  # noqa: BLE001 - it is told
            said = f"{type(error).__name__}: {error}"
        os.write(write, json.dumps(said).encode())
        os._exit(0)
    os.close(write)
    os.wait()
    return read


def main() -> None:
    """Answer the request on stdin: the folder with everything, the modules, and what to look for."""
    request = json.load(sys.stdin)
    base = Path(request["base"])
    apart = Apart(
        base / "owner/workspace", base / "copy", base / "owner/workspace/.env", base / "out/.users.json",
        base / "logs", base / "tmp",
    )  # fmt: skip
    os.environ["DAGSTER_STORAGE_DIR"] = str(base / "out")
    sys.path[:0] = [str(base / "copy/projects" / name / "src") for name, *_ in request["modules"]]
    apart.prepare()
    # They are read when the last one is there: none is to have in its memory what another one told.
    pipes = [
        as_module(apart, name, marker, base / "copy" / folder, request["wanted"])
        for name, marker, folder in request["modules"]
    ]
    sys.stdout.write(json.dumps([json.load(os.fdopen(pipe)) for pipe in pipes]))


if __name__ == "__main__":
    main()

"""Another user of this machine, who reads whatever this user's processes and files show, as often as it can.

It is a separate process, of the machine's Python, which ``nobody`` may run whatever folder this is in.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import needs

UNPRIVILEGED = 65534
#: Looks for texts until its input ends, and says then where they were.
LOOKING = """\
import contextlib, fcntl, json, os, select, socket, stat, sys

secrets = [one.encode() for one in json.loads(sys.stdin.readline())]
found, locked, sockets, lines = set(), set(), set(), set()
rounds = 0


def look(text, where):
    for one in secrets:
        if one in text:
            found.add((one.decode(), where))


def processes():
    for number in filter(str.isdigit, os.listdir("/proc")):
        if int(number) == os.getpid():
            continue
        for name in ("cmdline", "environ", "comm"):
            with contextlib.suppress(OSError):
                with open(f"/proc/{number}/{name}", "rb") as file:
                    text = file.read(1 << 20)
                if name == "cmdline":
                    lines.add(text)
                look(text, f"/proc/{name}")


def files(folder):
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            look(os.fsencode(name), path)
            with contextlib.suppress(OSError):
                kind = os.lstat(path).st_mode
                if stat.S_ISSOCK(kind):
                    with socket.socket(socket.AF_UNIX) as wire:
                        wire.connect(path)
                        sockets.add(path)
                if not stat.S_ISREG(kind):
                    continue
                with open(path, "rb") as file:
                    look(file.read(1 << 20), path)
                    if name == ".lock":
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        locked.add(path)


print("looking", flush=True)
while not select.select([0], [], [], 0.05)[0]:
    processes()
    for folder in sys.argv[1:]:
        files(folder)
    rounds += 1
print(json.dumps({"texts": sorted(found), "rounds": rounds, "locked": sorted(locked), "sockets": sorted(sockets),
                  "command_lines": len(lines)}))
"""


@dataclass
class Seen:
    """What the other user found.

    Attributes:
        texts: The texts that were looked for and found, with where.
        rounds: How often everything was looked at.
        locked: The files whose lock this user could take.
        sockets: The sockets that this user could speak to.
        command_lines: How many there were to read.
    """

    texts: list[tuple[str, str]] = field(default_factory=list)
    rounds: int = 0
    locked: list[str] = field(default_factory=list)
    sockets: list[str] = field(default_factory=list)
    command_lines: int = 0


@contextlib.contextmanager
def onlooker(secrets: Sequence[str], *folders: Path) -> Iterator[Seen]:
    """Have another user look at all processes, and at folders, while something is done."""
    needs.root()
    needs.programs("setpriv", "/usr/bin/python3")
    line = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups", "--"]
    command = [*line, "/usr/bin/env", "-i", "/usr/bin/python3", "-c", LOOKING]
    seen = Seen()
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*command, *map(str, folders)], **pipes, cwd="/") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(list(secrets)).encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"looking\n"
        try:
            yield seen
        finally:
            found = json.loads(process.communicate(timeout=60)[0])
            seen.__dict__.update({**found, "texts": [tuple(one) for one in found["texts"]]})

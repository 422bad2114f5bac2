"""The command lines of all programs that start on this machine, as the kernel tells of them: none is too short-lived.

The kernel's connector for process events (include/uapi/linux/cn_proc.h of Linux) needs root.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

NETLINK_CONNECTOR = 11
CN_IDX_PROC = CN_VAL_PROC = 1
PROC_CN_MCAST_LISTEN = 1
PROC_EVENT_EXEC = 2
NLMSG_DONE = 3
#: A netlink header, the connector's, and what is asked.
REQUEST = struct.Struct("=IHHII IIIIHH I")
#: Behind the two headers: what happened, on which processor, when, and to which process.
EVENT = struct.Struct("=IIQi")


@contextlib.contextmanager
def command_lines() -> Iterator[set[str]]:
    """Give a set that has, at the end, the command lines of all programs that were started meanwhile."""
    seen: set[str] = set()
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline() == b"listening\n"
        try:
            yield seen
        finally:
            seen |= set(json.loads(watcher.communicate()[0]))


def watch() -> set[str]:
    """Listen until the input is closed."""
    seen = set()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR) as events:
        events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        events.bind((0, CN_IDX_PROC))
        asked = (CN_IDX_PROC, CN_VAL_PROC, 0, 0, 4, 0, PROC_CN_MCAST_LISTEN)
        events.send(REQUEST.pack(REQUEST.size, NLMSG_DONE, 0, 0, os.getpid(), *asked))
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while True:
            ready = select.select([0, events], [], [])[0]
            if events in ready:
                what, _, _, process = EVENT.unpack_from(events.recv(1 << 16), REQUEST.size - 4)
                with contextlib.suppress(OSError):  # It is gone already.
                    if what == PROC_EVENT_EXEC:
                        seen.add(Path(f"/proc/{process}/cmdline").read_bytes().decode("utf-8", "replace"))
            elif ready:
                return seen


if __name__ == "__main__":
    sys.stdout.write(json.dumps(sorted(watch())))

"""Two network namespaces joined by a wire with a delay, for kernels without netem. Needs root, gcc and iproute2."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("far_wire.c")
NEAR, FAR = "10.77.0.1", "10.77.0.2"


@dataclass(frozen=True)
class Wire:
    """A wire between two namespaces: ours with the address ``NEAR``, the host's with ``FAR``."""

    name: str
    relay: int

    @property
    def near(self) -> str:
        return f"{self.name}-near"

    @property
    def far(self) -> str:
        return f"{self.name}-far"

    def part(self) -> None:
        """Cut the wire, without a word to either side."""
        os.kill(self.relay, signal.SIGSTOP)

    def heal(self) -> None:
        """Repair the wire."""
        os.kill(self.relay, signal.SIGCONT)


@contextlib.contextmanager
def wire(name: str, round_trip_ms: float) -> Iterator[Wire]:
    """Give a wire on which a packet and its answer take so long."""
    with tempfile.TemporaryDirectory() as folder:
        relay = Path(folder) / "relay"
        subprocess.run(["gcc", "-O2", "-o", relay, SOURCE], check=True)
        near, far = f"{name}-near", f"{name}-far"
        try:
            for side in (near, far):
                _ip("netns", "add", side)
                _ip("-n", side, "link", "set", "lo", "up")
            process = subprocess.Popen([relay, near, far, str(round_trip_ms / 2)], stdout=subprocess.PIPE)
            assert process.stdout is not None
            process.stdout.readline()
            _join(near, "far0", NEAR, FAR)
            _join(far, "far1", FAR, NEAR)
            try:
                yield Wire(name, process.pid)
            finally:
                process.kill()
                process.wait()
                process.stdout.close()
        finally:
            for side in (near, far):
                subprocess.run(["ip", "netns", "del", side], check=False)
            time.sleep(0.1)


def _join(side: str, device: str, address: str, peer: str) -> None:
    _ip("-n", side, "addr", "add", address, "peer", peer, "dev", device)
    _ip("-n", side, "link", "set", device, "up")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)

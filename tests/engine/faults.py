"""A command of the engine, carried out with a fault at its N-th system call of a kind (strace injects it)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).parents[2]

#: System calls by what they do; which of a group Python uses depends on the machine.
CALLS = {
    "rename": "rename,renameat,renameat2",
    "write": "write,pwrite64",
    "fsync": "fsync,fdatasync",
    "open": "open,openat",
    "unlink": "unlink,unlinkat",
    "mkdir": "mkdir,mkdirat",
    "read": "read",
    "chmod": "chmod,fchmod,fchmodat",
}
FAULTS = {
    "killed": "signal=KILL",
    "disk full": "error=ENOSPC",
    "i/o error": "error=EIO",
    "other file system": "error=EXDEV",
}
#: What renames alone have.
OF_RENAMES = ("other file system",)


def pairs() -> list[tuple[str, str]]:
    """Return every fault with every kind of call that can have it."""
    return [(fault, calls) for fault in FAULTS for calls in CALLS if calls == "rename" or fault not in OF_RENAMES]


@dataclass(frozen=True)
class Ended:
    """How a command ended, and whether the fault met it."""

    code: int
    injured: bool


class Driver:
    """The process that carries commands out; its start is paid once.

    Args:
        log: Where strace writes what it saw.
        module: The driver: it reads lines ``command<TAB>root<TAB>argument``.
    """

    def __init__(self, log: Path, module: str = "tests.engine.driver") -> None:
        self._log = log
        self._module = module

    def __enter__(self) -> Driver:  # noqa: PYI034 - Self is not in Python 3.10
        command = [sys.executable, "-m", self._module]
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=20)

    def run(self, command: tuple[str, str], root: Path, fault: str, calls: str, number: int) -> Ended:
        """Carry a command out, with a fault at the ``number``-th (from 1) of these system calls."""
        calls = CALLS[calls]
        return self.trace(command, root, calls, ["-e", f"inject={calls}:{FAULTS[fault]}:when={number}"])

    def trace(self, command: tuple[str, str], root: Path, calls: str, options: Sequence[str] = ()) -> Ended:
        """Carry a command out, and write down these system calls of its first thread."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{command[0]}\t{root}\t{command[1]}\n")
        self._process.stdin.flush()
        process = int(self._process.stdout.readline())
        tracer = self._attach(process, calls, options)
        os.kill(process, signal.SIGCONT)
        code = int(self._process.stdout.readline())
        tracer.communicate(timeout=20)
        return Ended(code, code == -signal.SIGKILL or "(INJECTED)" in self._log.read_text())

    def _attach(self, process: int, calls: str, options: Sequence[str]) -> subprocess.Popen[str]:
        quiet = ["-e", "signal=none", "-s", "400"]
        command = ["strace", "-o", str(self._log), "-p", str(process), *quiet, "-e", f"trace={calls}", *options]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert tracer.stderr
        said = tracer.stderr.readline()
        assert "attached" in said, said
        return tracer

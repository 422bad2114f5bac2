"""A shell in which the blocks of a document are typed one after the other, as a reader does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

#: Seconds after which a block that does not end fails.
LIMIT = 900


class ShellSession:
    """One bash: what a block sets, or the folder that it enters, holds for the next one."""

    def __init__(self, scratch: Path, environ: Mapping[str, str], folder: Path) -> None:
        scratch.mkdir()
        self.scratch = scratch
        self.blocks = 0
        self.process = subprocess.Popen(
            ["bash", "--norc"], stdin=subprocess.PIPE, env=dict(environ), cwd=folder, text=True, start_new_session=True
        )

    def run(self, block: str) -> str:
        """Type a block; return what it printed. Every command of it has to succeed."""
        log, done = self._begin(block, "set -e; . '{block}' </dev/null >'{log}' 2>&1; set +e; echo $? >'{done}'")
        self._wait(done.exists, log)
        assert done.read_text().strip() == "0", f"{block}\n{log.read_text()}"
        return log.read_text()

    def run_until(self, block: str, reached: Callable[[str], bool]) -> str:
        """Type a block that does not end, and press Ctrl-C once what it printed is enough; return that."""
        # With job control a job is not deaf to Ctrl-C.
        line = (
            "set -m; (. '{block}') </dev/null >'{log}' 2>&1 & echo $! >'{done}.pid'; wait $!; echo $? >'{done}'; set +m"
        )
        log, done = self._begin(block, line)
        self._wait(lambda: done.exists() or reached(log.read_text() if log.exists() else ""), log)
        assert not done.exists(), log.read_text()
        os.killpg(int(Path(f"{done}.pid").read_text()), signal.SIGINT)
        self._wait(done.exists, log)
        assert done.read_text().strip() in {"0", "130"}, log.read_text()
        return log.read_text()

    def close(self) -> None:
        """End the shell, and whatever still runs in it."""
        assert self.process.stdin is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.stdin.close()
        self.process.wait()

    def _begin(self, block: str, line: str) -> tuple[Path, Path]:
        self.blocks += 1
        script, log, done = (self.scratch / f"{self.blocks}.{suffix}" for suffix in ("sh", "log", "done"))
        script.write_text(f"{block}\n")
        assert self.process.stdin is not None
        self.process.stdin.write(line.format(block=script, log=log, done=done) + "\n")
        self.process.stdin.flush()
        return log, done

    def _wait(self, happened: Callable[[], bool], log: Path) -> None:
        until = time.monotonic() + LIMIT
        while not happened():
            said = log.read_text() if log.exists() else ""
            assert self.process.poll() is None, f"a command failed:\n{said}"
            assert time.monotonic() < until, f"no end:\n{said}"
            threading.Event().wait(0.05)

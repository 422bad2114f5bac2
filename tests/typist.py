"""A person at a terminal who types what a command asks for."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Typist:
    """Runs a command on a separate terminal, and types what it asks for."""

    def __init__(self, command: str, environ: Mapping[str, str], cwd: Path | None = None) -> None:
        self.terminal, inner = pty.openpty()
        self.process = subprocess.Popen(
            ["sh", "-c", command],
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=dict(environ),
            cwd=cwd,
            start_new_session=True,
        )
        os.close(inner)

    def type(self, *lines: str) -> str:
        """Type a line each time that something is asked; return all that was said."""
        said = b""
        waiting = list(lines)
        with contextlib.suppress(OSError):  # The terminal has no other end any more.
            while part := os.read(self.terminal, 4096):
                said += part
                if waiting and (b"assword" in part or b"again" in part):
                    os.write(self.terminal, f"{waiting.pop(0)}\n".encode())
        assert self.process.wait(60) == 0, said
        return said.decode()

"""The system calls of everything that runs on a host, as strace writes them down."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests import needs
from tests.deploy.sshd import SshHost


@contextmanager
def traced(host: SshHost, calls: str, log: Path, options: Sequence[str] = ()) -> Iterator[None]:
    """Write a host's system calls to a log, and stop the host at the end.

    Args:
        host: A host whose sshd runs.
        calls: Names, separated by commas.
        log: The file to write.
        options: More of strace's options.
    """
    assert host.process
    command = [str(needs.program("strace")), "-f", *options, "-e", f"trace={calls}", "-o", str(log)]
    command += ["-p", str(host.process.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        try:
            assert tracer.stderr
            assert "attached" in tracer.stderr.readline()
            yield
        finally:
            # It ends with what it traces. A signal may come just before it waits for the next call, and end nothing.
            host.stop()

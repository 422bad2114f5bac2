"""The host's side, as a process of this machine."""

from __future__ import annotations

import subprocess
import sys

from dagster_module_builder.deploy.connection import host_start


def start() -> subprocess.Popen[bytes]:
    program = host_start.program()
    command = host_start.start_line(len(program), sys.executable)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(["/bin/sh", "-c", command], **pipes)
    process.stdin.write(program)
    process.stdin.flush()
    return process

"""Runs programs of an environment in children of one process that has imported Dagster: seconds less for each.

``python forked.py`` reads a request a line and answers each with the program's exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

#: What most of these programs import; each runs as it would alone, only sooner.
IMPORTED = ("pytest", "pandas", "dagster", "dagster._cli.definitions", "dagster_dg_cli.cli.check")


#: Seconds after which a program is ended.
LIMIT = 300


class Programs:
    """The programs of one environment."""

    def __init__(self, python: Path) -> None:
        self.folder = python.parent
        environ = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([python, __file__], env=environ, **pipes)

    def run(self, program: str, *arguments: str, folder: Path, environ: Mapping[str, str], output: Path) -> int:
        """Run a program in a folder, with these variables alone and its output in a file; return its exit code."""
        request = {"argv": [program, *arguments], "folder": str(folder), "environ": {**environ}, "output": str(output)}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def _become(argv: list[str], folder: str, environ: dict[str, str], output: str) -> int:
    for number, file in enumerate((os.devnull, output, output)):
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
    signal.alarm(LIMIT)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.argv = argv
    (program,) = entry_points(group="console_scripts", name=argv[0])
    return program.load()() or 0


def main() -> None:
    """Serve requests."""
    # This folder does not belong to the programs.
    del sys.path[0]
    for name in IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            sys.exit(_become(**request))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()

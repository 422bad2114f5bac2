"""Runs the program in children of one process that has imported it: hundredths of a second for each command.

``python quick_program.py`` reads a request a line and answers each with the exit code.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.people import other_user

#: Seconds after which a command is ended, by SIGALRM: nothing that is tried here may wait for ever.
LIMIT = 60
#: CLONE_NEWNS of unshare(2), and MS_… of mount(2).
NEW_NAMESPACE, READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 0x20000, 1, 32, 4096, 16384, 1 << 18
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """What a command ended with, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class QuickProgram:
    """The program, started once."""

    def __init__(self) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environ = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        line = [sys.executable, __file__]
        self.process = subprocess.Popen(
            other_user.reachable(*line) if os.geteuid() == 0 else line, env=environ, **pipes
        )

    def run(
        self,
        *arguments: str,
        environ: Mapping[str, str],
        folder: Path,
        given: str = "",
        closed: Sequence[int] = (),
        deaf: Sequence[int] = (),
        uid: int = 0,
        read_only: Path | None = None,
        umask: int = 0o022,
    ) -> Result:
        """Run a command.

        Args:
            arguments: Behind the program's name.
            environ: All of its variables.
            folder: Where it runs.
            given: What it reads.
            closed: Descriptors that it begins without.
            deaf: Descriptors that are pipes whose reader is gone.
            uid: Whom it runs as.
            read_only: A folder that is mounted read-only where it runs. Needs root.
            umask: The mask of file modes.
        """
        with tempfile.TemporaryDirectory() as files:
            Path(files).chmod(0o755)
            Path(files, "0").write_text(given)
            request = {"argv": arguments, "environ": {**environ}, "folder": str(folder), "files": files,
                       "closed": list(closed), "deaf": list(deaf), "uid": uid,
                       "read_only": str(read_only or ""), "umask": umask}  # fmt: skip
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            code = int(self.process.stdout.readline())
            out, err = (Path(files, name).read_text("utf-8", "replace") for name in "12")
            if code >= 0 and not closed and not deaf:
                # Imported late: the process of the program begins with this file.
                from tests import json_outputs  # noqa: PLC0415

                json_outputs.check(arguments, out)
            return Result(code, out, err)

    def close(self) -> None:
        self.process.communicate()


def _mount_read_only(folder: str) -> None:
    """Let this process see a folder as it is mounted read-only (unshare(2), mount(2))."""
    libc, place = ctypes.CDLL(None, use_errno=True), os.fsencode(folder)
    done = [
        libc.unshare(NEW_NAMESPACE),
        libc.mount(None, b"/", None, PRIVATE | RECURSIVE, None),
        libc.mount(place, place, None, BIND, None),
        libc.mount(None, place, None, BIND | REMOUNT | READ_ONLY, None),
    ]
    if any(done):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), folder)


def _become(request: Mapping[str, Any]) -> None:
    os.setsid()
    modes = (os.O_RDONLY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, mode in enumerate(modes):
        os.dup2(os.open(f"{request['files']}/{number}", mode), number)
    for number in request["deaf"]:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, number)
    os.closerange(3, 20)
    for number in request["closed"]:
        os.close(number)
    names = ("stdin", "stdout", "stderr")
    for number, name in enumerate(names):
        # As Python itself begins without a descriptor.
        stream = None if number in request["closed"] else open(number, "w" if number else "r", encoding="utf-8")  # noqa: SIM115, PTH123
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if request["read_only"]:
        _mount_read_only(request["read_only"])
    signal.alarm(LIMIT)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    if request["uid"]:
        os.setgroups([])
        os.setgid(request["uid"])
        os.setuid(request["uid"])
    sys.argv = ["dagster-module-builder", *request["argv"]]


def _import_everything() -> None:
    """Import what each task imports only when it runs, so that no child does it."""
    import dagster_module_builder  # noqa: PLC0415
    import deploy_strategies  # noqa: PLC0415

    for package in (dagster_module_builder, deploy_strategies):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "_shipped" not in module.name:
                importlib.import_module(module.name)
    for name in ("fabric", "fastjsonschema", "rich.live", "rich.markdown", "rich.syntax", "rich.table", "uv"):
        importlib.import_module(name)
    gc.freeze()


def main() -> None:
    """Serve requests."""
    # This folder's modules must not stand in for others.
    del sys.path[0]
    from dagster_module_builder.program import main as program  # noqa: PLC0415

    _import_everything()
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(request)
            program()
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    main()


@pytest.fixture(scope="session")
def quick_program() -> Iterator[QuickProgram]:
    """The program, for tests of many commands."""
    program = QuickProgram()
    yield program
    program.close()

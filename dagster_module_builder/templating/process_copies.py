"""Python that runs in a copy of this process, which has imported what it needs: a third of a new interpreter's time.

It is another process, because Cookiecutter and hooks change the working directory, the import path and the logging of
the one that they run in.
"""

from __future__ import annotations

import contextlib
import io
import os
import runpy
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NoReturn


def can_copy() -> bool:
    """Tell whether this process can be copied: on Linux, and while no other thread might hold a lock in the copy."""
    return sys.platform == "linux" and threading.active_count() == 1


def run(work: Callable[[], object], given: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Do work in a copy of this process, in a separate session, so that an interrupt here ends all of it.

    Args:
        work: What is done; it returns an exit status or ends with ``SystemExit``, as a script does.
        given: Its standard input.
        folder: The working directory.
        environment: All environment variables.

    Returns:
        Its exit status in Python's form, its stdout and its stderr.
    """
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = os.fork()
        if process == 0:
            _begin(given, folder, environment, (stdout, stderr))
            end_with(work)
        try:
            _, status = os.waitpid(process, 0)
        except BaseException:
            # The copy itself too: it may not have begun its session yet.
            for end in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    end(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise
        return os.waitstatus_to_exitcode(status), _text(stdout), _text(stderr)


def _begin(given: str, folder: Path, environment: Mapping[str, str], outputs: tuple[IO[bytes], IO[bytes]]) -> None:
    """Become what a new process would be."""
    os.setsid()
    for number, output in enumerate(outputs, 1):
        os.dup2(output.fileno(), number)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = io.StringIO(given)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    sys.pycache_prefix = environment.get("PYTHONPYCACHEPREFIX")
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in environment


def run_script(path: str, folder: str | Path) -> int:
    """Run a script in a copy of this process, which has its output, and return its exit status in Python's form."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    process = os.fork()
    if process == 0:
        os.chdir(folder)
        end_with(lambda: script(Path(path)))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def script(path: Path) -> None:
    """Run a script as the interpreter does that is given its path."""
    sys.argv = [str(path)]
    sys.path.insert(0, str(path.parent))
    runpy.run_path(str(path), run_name="__main__")


def end_with(work: Callable[[], object]) -> NoReturn:
    """Do work and end this process as the interpreter would, but without anything that the original will do."""
    code = 1
    try:
        code = _status(work())
    except SystemExit as end:
        code = _status(end.code)
    except BaseException:  # noqa: BLE001 - the original says what it was
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _status(said: object) -> int:
    """Return the exit status for what a script ended with, as ``sys.exit`` defines it."""
    if said is None:
        return 0
    if isinstance(said, int):
        return said
    sys.stderr.write(f"{said}\n")
    return 1


def _text(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode("utf-8", "replace")

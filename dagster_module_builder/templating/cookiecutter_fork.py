"""Cookiecutter in a process that begins as a copy of this one, which has imported it: half of the processor time.

For whoever renders many modules. As in ``templates``, it is another process, since Cookiecutter changes the working
directory, the import path and the logging of the one that it runs in.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from dagster_module_builder.templating import cookiecutter_run

_ready: set[int] = set()


def is_ready() -> bool:
    """Tell whether this process was prepared to be copied."""
    return os.getpid() in _ready


def prepare() -> None:
    """Import Cookiecutter, once for all copies of this process, which has to have one thread."""
    import cookiecutter.main  # noqa: F401

    _ready.add(os.getpid())


def run(given: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Render as ``cookiecutter_run`` does; return its exit code and what it said on stdout and on stderr.

    Args:
        given: The arguments, as JSON.
        folder: The working directory.
        environment: All environment variables.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = os.fork()
        if process == 0:
            _render(given, folder, environment, (said, complained))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return code, _text(said), _text(complained)


def _render(given: str, folder: Path, environment: Mapping[str, str], outputs: tuple[IO[bytes], IO[bytes]]) -> None:
    code = 1
    try:
        for number, output in enumerate(outputs, 1):
            os.dup2(output.fileno(), number)
        sys.stdin = io.StringIO(given)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        # It takes away the first entry, which is a script's folder.
        sys.path.insert(0, str(folder))
        code = cookiecutter_run.main()
    except BaseException:  # noqa: BLE001 - the parent says what it was
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _text(output: IO[bytes]) -> str:
    output.seek(0)
    return output.read().decode("utf-8", "replace")

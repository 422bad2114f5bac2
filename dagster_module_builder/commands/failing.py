"""What a task ends with when it fails: one message, an exit code, JSON where that was asked for."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

from invoke.exceptions import Exit

from dagster_module_builder import __version__
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.settings import state_folder
from dagster_module_builder.commands import console
from dagster_module_builder.disclosure import terminal

INTERRUPTED = 130
#: A fault of this program's (``EX_SOFTWARE`` of sysexits(3)).
UNFORESEEN = 70
#: What ``Path.resolve`` says before Python 3.13, which takes such a path as it is written.
_LOOP = "Symlink loop from "


def end(error: BaseException, *, as_json: bool) -> NoReturn:
    """Say what went wrong, and end with its exit code.

    Args:
        error: What was raised.
        as_json: Print it on stdout too, for a program to read, unless the task has printed its JSON already.
    """
    text, code, results = _judged(error)
    if as_json and not console.has_said_json():
        console.say_json({"error": text, "results": results})
    terminal.tell(text if isinstance(error, KeyboardInterrupt) else f"Error: {text}")
    raise Exit(code=code) from None


def _judged(error: BaseException) -> tuple[str, int, list[Any]]:
    """Return what is said of an error, its exit code, and what is known of each host."""
    if isinstance(error, BuilderError):
        return str(error), error.exit_code, list(error.results)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted.", 128 + getattr(error, "number", INTERRUPTED - 128), []
    if isinstance(error, EOFError):
        return "The input ended before every question was answered. Give the answers as flags.", 1, []
    if isinstance(error, OSError) and error.strerror:
        return of_system(error), 1, []
    if isinstance(error, RuntimeError) and str(error).startswith(_LOOP):
        return f"{str(error).removeprefix(_LOOP)}: a link there leads to itself. Remove it.", 1, []
    return unforeseen(error), UNFORESEEN, []


def of_system(error: OSError) -> str:
    """Say what the operating system refused.

    >>> of_system(PermissionError(13, "Permission denied", "/root"))
    '/root: Permission denied.'
    """
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {error.strerror}." if names else f"{error.strerror}."


def unforeseen(error: BaseException) -> str:
    """Keep all that is known of an error that should not have happened; return the line that says where."""
    said = " ".join(str(error).split())[:200]
    kept = _kept("".join(traceback.format_exception(error)))
    where = f"All of it is in {kept}; it may hold values of your files" if kept else "It could not be kept in a file"
    name = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return f"This should not have happened ({name}). {where}. dagster-module-builder {__version__}."


def _failures() -> Path:
    return state_folder() / "failures"


def _kept(trace: str) -> Path | None:
    text = f"dagster-module-builder {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    text += f"{sys.argv[1] if len(sys.argv) > 1 else ''}\n{trace}"
    for place in (_failures, lambda: Path(tempfile.gettempdir())):
        try:
            folder = place()
            folder.mkdir(parents=True, exist_ok=True)
            # Readable for its owner alone (tempfile.mkstemp).
            handle, name = tempfile.mkstemp(".log", time.strftime("dmb-%Y%m%d-%H%M%S-"), folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except (OSError, RuntimeError):
            # A user whom the machine does not know has no home.
            continue
        return Path(name)
    return None

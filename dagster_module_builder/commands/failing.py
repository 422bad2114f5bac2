"""How a failed task ends: one message, an exit code, and JSON if requested."""

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
#: A bug in this program (``EX_SOFTWARE`` of sysexits(3)).
UNFORESEEN = 70
#: The message of ``Path.resolve`` before Python 3.13; later versions return the path unresolved.
_LOOP = "Symlink loop from "


def end(error: BaseException) -> NoReturn:
    """Print an error, give it to programs too, and exit with its code."""
    text, code, results = _described(error)
    console.give_error(text, results)
    terminal.alert(text if isinstance(error, KeyboardInterrupt) else f"Error: {text}")
    raise Exit(code=code) from None


def _described(error: BaseException) -> tuple[str, int, list[Any]]:
    """Return an error's message, its exit code, and the result of each host."""
    if isinstance(error, BuilderError):
        return str(error), error.exit_code, list(error.results)
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted.", 128 + getattr(error, "number", INTERRUPTED - 128), []
    if isinstance(error, EOFError):
        return "The input ended before every question was answered. Pass the answers as flags.", 1, []
    if isinstance(error, OSError) and error.strerror:
        return of_system(error), 1, []
    if isinstance(error, RuntimeError) and str(error).startswith(_LOOP):
        return f"{str(error).removeprefix(_LOOP)}: this link leads to itself. Remove it.", 1, []
    return unforeseen(error), UNFORESEEN, []


def of_system(error: OSError) -> str:
    """Return the message of an error of the operating system.

    >>> of_system(PermissionError(13, "Permission denied", "/root"))
    '/root: Permission denied.'
    """
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return f"{' -> '.join(names)}: {error.strerror}." if names else f"{error.strerror}."


def unforeseen(error: BaseException) -> str:
    """Write an unexpected error with its traceback to a file; return a message that names the file."""
    message = " ".join(str(error).split())[:200]
    log = _write_log("".join(traceback.format_exception(error)))
    details = f"Details are in {log}, which may contain values from your files" if log else "No log could be written"
    name = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return f"This should not have happened ({name}). {details}. dagster-module-builder {__version__}."


def _failures() -> Path:
    return state_folder() / "failures"


def _write_log(trace: str) -> Path | None:
    text = f"dagster-module-builder {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
    text += f"{sys.argv[1] if len(sys.argv) > 1 else ''}\n{trace}"
    for folder_of in (_failures, lambda: Path(tempfile.gettempdir())):
        try:
            folder = folder_of()
            folder.mkdir(parents=True, exist_ok=True)
            # Only the owner can read it (tempfile.mkstemp).
            handle, name = tempfile.mkstemp(".log", time.strftime("dmb-%Y%m%d-%H%M%S-"), folder)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except (OSError, RuntimeError):
            # A user without an entry in /etc/passwd has no home folder.
            continue
        return Path(name)
    return None

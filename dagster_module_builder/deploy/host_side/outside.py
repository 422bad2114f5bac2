"""Programs of the host: an answer is told apart from a failure."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

from .errors import RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def installed(name: str) -> str | None:
    """Return a program's path on the PATH; None if it is not installed.

    Raises:
        RefusedError: It is installed, but may not be run.
    """
    if path := shutil.which(name):
        return path
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            raise RefusedError("tool", f"{path} cannot be run on the host: Permission denied.")
    return None


def how_it_ended(status: int) -> str:
    """Return how a program ended: ``-9 -> "it was ended by SIGKILL"``."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"


def failed(code: str, command: Sequence[str], status: int, said: str) -> RefusedError:
    """Return the error for a program that failed, with its own words."""
    words = said.strip()[-4000:]
    return RefusedError(
        code, f"{command[0]} failed on the host ({how_it_ended(status)}): {words or 'it did not say why'}"
    )


def not_started(command: Sequence[str], error: OSError) -> RefusedError:
    """Return the error for a program that could not be started."""
    if isinstance(error, FileNotFoundError) and error.filename == command[0]:
        return RefusedError("tool", f"{command[0]} is not installed on the host.")
    named = "" if error.filename in {None, command[0]} else f"{error.filename}: "
    return RefusedError("tool", f"{command[0]} cannot be run on the host: {named}{error.strerror}.")


def outcome(command: Sequence[str], limit: float, **options: Any) -> tuple[int, str, str]:
    """Run a program even if the client is gone; return its exit status, standard output and standard error.

    Raises:
        RefusedError: It could not be started, or did not end within ``limit`` seconds.
    """
    pipe = subprocess.PIPE
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, timeout=limit, check=False, **options
        )
    except OSError as error:
        raise not_started(command, error) from error
    except subprocess.TimeoutExpired:
        raise RefusedError("tool", f"{command[0]} did not end on the host within {limit:g} seconds.") from None
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def complaint_of(command: Sequence[str], limit: float = 60, **options: Any) -> str | None:
    """Run a program even if the client is gone; return why it failed, or None if it succeeded."""
    try:
        status, said, words = outcome(command, limit, **options)
    except RefusedError as error:
        return str(error)
    return str(failed("tool", command, status, words or said)) if status else None

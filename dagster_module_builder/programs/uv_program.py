"""The only caller of uv, which resolves requirements and creates environments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Errors of uv if it could not ask an index, rather than found no package there.
_COULD_NOT_LOOK = re.compile(
    r"failed to fetch|error sending request|request failed|network was disabled|not found in the cache"
    r"|not found in the package registry|network connectivity is disabled|could not connect|timed out|dns error",
    re.IGNORECASE,
)


def could_not_look(message: str) -> bool:
    """Return whether uv could not ask an index, according to its message, rather than found no package there."""
    # uv wraps lines between any two words.
    return _COULD_NOT_LOOK.search(" ".join(message.split())) is not None


def program() -> str:
    """Return the program ``uv``.

    Raises:
        ToolError: It is not installed.
    """
    try:
        from uv import find_uv_bin  # imported late, since most commands do not need it

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        if not outside_programs.is_installed("uv"):
            raise ToolError("uv was not found. Install it with 'python -m pip install uv'.") from None
        return "uv"


def run(arguments: Sequence[str], folder: Path) -> None:
    """Run uv.

    Raises:
        ToolError: It failed; the error quotes it.
    """
    code, message = ask(arguments, folder)
    if code:
        hint = "\nIs the package index reachable?" if could_not_look(message) else ""
        raise outside_programs.failure(f"uv {' '.join(arguments[:2])}", outside_programs.ended(code), message + hint)


def ask(
    arguments: Sequence[str], folder: Path, stdin: str = "", environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run uv, and return its exit status and its standard error.

    Raises:
        ToolError: It could not be started, or was stopped by a signal.
    """
    asked = outside_programs.ask(
        [program(), "--no-progress", *arguments],
        named=f"uv {' '.join(arguments[:2])}",
        answers=outside_programs.ANY,
        stdin=stdin.encode("utf-8", "surrogateescape"),
        folder=folder,
        environ={
            **outside_programs.without_active_environment(),
            # The Python is passed; searching for uv's own would create a folder in the user's home.
            "UV_PYTHON_PREFERENCE": "only-system",
            **(environment or {}),
        },
    )
    return asked.status, asked.words

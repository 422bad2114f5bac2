"""The one door to uv, which resolves requirements and makes environments."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Words of uv that say that it could not look, rather than that it looked in vain.
_COULD_NOT_LOOK = re.compile(
    r"failed to fetch|error sending request|request failed|network was disabled|not found in the cache"
    r"|not found in the package registry|network connectivity is disabled|could not connect|timed out|dns error",
    re.IGNORECASE,
)


def could_not_look(said: str) -> bool:
    """Tell whether uv's words mean that it could not ask an index, rather than that it asked in vain."""
    # uv breaks its lines between any two words.
    return _COULD_NOT_LOOK.search(" ".join(said.split())) is not None


def program() -> str:
    """Return the program ``uv``.

    Raises:
        ToolError: It is nowhere.
    """
    try:
        from uv import find_uv_bin  # only where it is used

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        if not outside_programs.is_installed("uv"):
            raise ToolError("uv was not found: install it with 'python -m pip install uv'.") from None
        return "uv"


def run(arguments: Sequence[str], folder: Path) -> None:
    """Run uv, which makes and fills environments.

    Raises:
        ToolError: It failed; with its own words.
    """
    code, said = ask(arguments, folder)
    if code:
        hint = "\nIs the package index reachable?" if could_not_look(said) else ""
        raise outside_programs.failure(f"uv {' '.join(arguments[:2])}", outside_programs.ended(code), said + hint)


def ask(
    arguments: Sequence[str], folder: Path, given: str = "", environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run uv with ``given`` on its stdin, and return its exit code and what it said on stderr.

    Raises:
        ToolError: It could not be started, or was ended by a signal.
    """
    asked = outside_programs.ask(
        [program(), "--no-progress", *arguments],
        named=f"uv {' '.join(arguments[:2])}",
        answers=outside_programs.ANY,
        given=given.encode("utf-8", "surrogateescape"),
        folder=folder,
        # An environment that happens to be active is none of its business.
        environ={
            **{k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "CONDA_PREFIX"}},
            # The Python is given; looking for one of uv's own would leave a folder in the user's home.
            "UV_PYTHON_PREFERENCE": "only-system",
            **(environment or {}),
        },
    )
    return asked.status, asked.words

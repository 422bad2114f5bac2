"""The processes that run Cookiecutter and the hooks of templates: their environment, and their output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import outside_programs


def run(command: list[str], given: str, folder: Path, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a program and its children in a new session, so that an interrupt here ends all of them.

    Returns:
        Its exit code, its stdout and its stderr.
    """
    with outside_programs.start(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            outputs = process.communicate(given.encode())
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    stdout, stderr = (output.decode("utf-8", "replace") for output in outputs)
    if process.returncode < 0:
        raise outside_programs.failure(Path(command[-1]).name, outside_programs.ended(process.returncode), stderr)
    return process.returncode, stdout, stderr


def child_environment(private: Path, environment: Mapping[str, str] | None) -> dict[str, str]:
    """Return a child's variables: this process's, those given, and its own temporary folder below ``private``."""
    temporary = private / "tmp"
    temporary.mkdir(exist_ok=True)
    return {**os.environ, **(environment or {}), "TMPDIR": str(temporary), **_bytecode()}


def _bytecode() -> dict[str, str]:
    """Return the variables that say where bytecode goes: never beside templates, which may be in a system folder."""
    spec = find_spec("cookiecutter")
    compiled = spec and spec.cached and Path(spec.cached).is_file()
    if compiled or os.environ.get("PYTHONDONTWRITEBYTECODE"):
        return {"PYTHONDONTWRITEBYTECODE": "1"}
    # uv compiles nothing, and compiling takes longer than rendering.
    return {"PYTHONPYCACHEPREFIX": str(cache_folder() / "bytecode")}


def pass_on(output: str) -> None:
    """Print what hooks wrote, on stderr, since stdout is for results."""
    terminal.inform(output, end="")


def reason(output: str) -> str:
    """Return why a child failed, from its output: what it wrote, and the last line of a traceback."""
    text = output.strip()
    before, traceback, after = text.partition("Traceback (most recent call last)")
    return f"{before}{after.splitlines()[-1]}" if traceback else text

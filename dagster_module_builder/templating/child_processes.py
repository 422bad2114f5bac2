"""The processes that run Cookiecutter and the hooks of templates: their environment, and their output."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from dagster_module_builder.base.settings import cache_folder
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.templating import process_copies


def run_python(
    script: Path, given: str, folder: Path, environment: Mapping[str, str], work: Callable[[], object] | None = None
) -> tuple[int, str, str]:
    """Run a Python script in a copy of this process where that is possible, otherwise in a new interpreter.

    Args:
        script: The script.
        given: Its standard input.
        folder: Its working directory.
        environment: All its environment variables.
        work: What a copy of this process does instead.

    Returns:
        As for ``run``.
    """
    if not process_copies.can_copy():
        return run([sys.executable, str(script)], given, folder, environment)
    outputs = process_copies.run(work or partial(process_copies.script, script), given, folder, environment)
    return _checked(script.name, *outputs)


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
    return _checked(Path(command[-1]).name, process.returncode, stdout, stderr)


def _checked(name: str, status: int, stdout: str, stderr: str) -> tuple[int, str, str]:
    if status < 0:
        raise outside_programs.failure(name, outside_programs.ended(status), stderr)
    return status, stdout, stderr


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

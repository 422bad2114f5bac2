"""The only caller of other programs: it distinguishes their answers from their failures."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import last_lines

#: All exit statuses that a program may use for its findings. Those of a shell that cannot start a program are not among
#: them (POSIX.1-2017, Shell Command Language, 2.8.2), nor is the end by a signal.
ANY = range(126)
#: What an environment that happens to be active sets, and what makes another program work on it.
_OF_ACTIVE = frozenset(("VIRTUAL_ENV", "CONDA_PREFIX", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"))
_LONGEST = 4000
#: Longer lines are passed on in parts of this many bytes.
_LINE = 1 << 16

Process: TypeAlias = subprocess.Popen[bytes]

#: How to install a program that was not found.
_CURES = {
    "docker": "install Docker's command line (https://docs.docker.com/engine/install/)",
    "git": "install git",
    "rsync": "install rsync",
    "ssh": "install the OpenSSH client",
    "ssh-keyscan": "install the OpenSSH client",
}


@dataclass(frozen=True)
class Answer:
    """The result of a program that did not fail.

    Attributes:
        status: Its exit status, one of the allowed ones.
        out: Its standard output; empty if that was redirected.
        errors: Its standard error; empty if that was redirected.
    """

    status: int
    out: bytes
    errors: bytes

    @property
    def text(self) -> str:
        """Its standard output as text; bytes that are not UTF-8 become surrogates and can be encoded again."""
        return self.out.decode("utf-8", "surrogateescape")

    @property
    def words(self) -> str:
        """Its standard error as text to be shown."""
        return self.errors.decode("utf-8", "replace").strip()


def without_active_environment() -> dict[str, str]:
    """Return this process's variables without an active environment, which is not that of the project at hand.

    Nox sets uv's two variables, too: with them ``uv sync`` would empty the environment that this program runs in.
    """
    return {name: value for name, value in os.environ.items() if name not in _OF_ACTIVE}


def ask(
    command: Sequence[str | Path],
    *,
    answers: Sequence[int] = (0,),
    named: str | None = None,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: bytes | IO[bytes] | None = None,
    out: int | IO[bytes] | None = subprocess.PIPE,
    errors: int | None = subprocess.PIPE,
    limit: float | None = None,
) -> Answer:
    """Run a program to its end.

    Args:
        command: The program and its arguments.
        answers: The exit statuses that are answers; with any other one the program has failed.
        named: Its name in errors (``git status``); by default that of the program.
        folder: The working directory.
        environ: All of its variables; by default this process's.
        stdin: Its standard input: bytes or a file; by default empty.
        out: Where its standard output goes; None for this process's.
        errors: Where its standard error goes; None for this process's.
        limit: Seconds after which it is stopped.

    Raises:
        ToolError: It could not be started, was stopped by a signal or the limit, or its exit status is not an answer;
            the error quotes it.
    """
    name = named or Path(command[0]).name
    source: dict[str, Any] = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin or subprocess.DEVNULL}
    try:
        done = last_lines.run(
            list(map(str, command)), source, limit, cwd=folder, env=environ, stdout=out, stderr=errors
        )
    except subprocess.TimeoutExpired as error:
        raise failure(name, f"it did not end within {limit:g} seconds", error.stderr or error.stdout) from None
    except OSError as error:
        raise not_started(command, folder, error) from error
    answer = Answer(done.returncode, done.stdout or b"", done.stderr or b"")
    if answer.status not in answers:
        raise failure(name, ended(answer.status), answer.errors if answer.errors.strip() else answer.out)
    return answer


def relay(
    command: Sequence[str | Path],
    out: Callable[[str], bool],
    errors: Callable[[str], bool],
    *,
    named: str,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end, and pass on each line as soon as it is written.

    Args:
        command: The program and its arguments.
        out: Gets a line of its standard output, and returns whether to go on; if not, the program is stopped.
        errors: Gets a line of its standard error; the return value is ignored.
        named: Its name in errors.
        folder: The working directory.
        environ: All of its variables; by default this process's.

    Raises:
        ToolError: It could not be started, or failed.
    """
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start(command, cwd=folder, env=environ, **pipes) as process:
        complaining = threading.Thread(target=_pass_on, args=(process.stderr, errors), kwargs={"to_the_end": True})
        complaining.start()
        heard = False
        try:
            heard = _pass_on(process.stdout, out)
        finally:
            if not heard:
                process.terminate()
            process.wait()
            complaining.join()
    if heard and process.returncode:
        raise failure(name=named, how=ended(process.returncode), message=None)


def attach(
    command: Sequence[str | Path], out: Callable[[str], bool] | None, errors: Callable[[str], bool] | None
) -> int:
    """Run a program with this process's standard input, and return its exit status, 128 and more for a signal's.

    Args:
        command: The program and its arguments.
        out: Gets each line of its standard output, and returns whether to go on; None for this process's own.
        errors: The same for its standard error; the return value is ignored.

    Raises:
        ToolError: It could not be started.
    """
    pipes = {"stdout": subprocess.PIPE if out else None, "stderr": subprocess.PIPE if errors else None}
    with start(command, **pipes) as process:
        complaining = threading.Thread(
            target=_pass_on, args=(process.stderr, errors), kwargs={"to_the_end": True}, daemon=True
        )
        complaining.start()
        heard = False
        try:
            heard = out is None or _pass_on(process.stdout, out)
            process.wait() if heard else None
        finally:
            if not heard or process.poll() is None:
                process.terminate()
            process.wait()
            complaining.join()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _pass_on(pipe: IO[bytes] | None, take: Callable[[str], bool] | None, *, to_the_end: bool = False) -> bool:
    for line in iter(lambda: pipe.readline(_LINE), b"") if pipe and take else ():
        if take and not take(line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")) and not to_the_end:
            return False
    return True


def start(command: Sequence[str | Path], **options: Any) -> Process:
    """Start a program and return at once; ``options`` are those of ``subprocess.Popen``.

    Raises:
        ToolError: It could not be started.
    """
    try:
        return subprocess.Popen(list(map(str, command)), **options)
    except OSError as error:
        raise not_started(command, options.get("cwd"), error) from error


def failure(name: str, how: str, message: bytes | str | None) -> ToolError:
    """Return the error of a program that failed: how it ended, and the end of its output."""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message or ""
    words = text.strip()[-_LONGEST:]
    return ToolError(f"{name} failed ({how}):\n{words}" if words else f"{name} failed: {how}, without any output.")


def ended(status: int) -> str:
    """Return how a program ended, from its exit status in Python's form.

    >>> ended(-9)
    'it was ended by SIGKILL'
    """
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return f"it was ended by {signal.Signals(-status).name}"
    return f"it was ended by signal {-status}"


def not_started(command: Sequence[str | Path], folder: Path | None, error: OSError) -> ToolError:
    """Return the error of a program that could not be started."""
    name = str(command[0])
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112 - as the operating system sees it
        return ToolError(f"{name} cannot run in {folder}: the folder does not exist.")
    if isinstance(error, FileNotFoundError):
        cure = _CURES.get(Path(name).name)
        return ToolError(f"The program {name!r} was not found." + (f" {cure[:1].upper()}{cure[1:]}." if cure else ""))
    return ToolError(f"{name} could not be started: {error.strerror or error}.")


def is_installed(name: str) -> bool:
    """Return whether a program is on PATH.

    Raises:
        ToolError: It exists, but this user may not run it.
    """
    if shutil.which(name):
        return True
    # As in the shell, programs in folders that this user may not enter are not found.
    paths = (os.path.join(folder, name) for folder in os.get_exec_path())  # noqa: PTH118 - a Path's is_file would raise
    blocked = [path for path in paths if os.path.isfile(path)]  # noqa: PTH113
    if blocked:
        raise ToolError(f"{blocked[0]} cannot be run: it is not executable for this user.")
    return False

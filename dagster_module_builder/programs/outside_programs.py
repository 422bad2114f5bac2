"""The one door to programs of the machine: what they answer is told apart from their failing."""

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

#: The exit statuses of a program that tells its findings by any of them. A shell's own, for what it cannot start, are
#: not among them (POSIX.1-2017, Shell Command Language, 2.8.2), nor is an end by a signal.
ANY = range(126)
_LONGEST = 4000
#: Bytes of a line that are passed on at once.
_LINE = 1 << 16

Process: TypeAlias = subprocess.Popen[bytes]

#: What installs a program that was not found.
_CURES = {
    "docker": "install Docker's command line (https://docs.docker.com/engine/install/)",
    "git": "install git",
    "rsync": "install rsync",
    "ssh": "install the OpenSSH client",
    "ssh-keyscan": "install the OpenSSH client",
}


@dataclass(frozen=True)
class Answer:
    """What a program that did not fail came to.

    Attributes:
        status: Its exit status, one of those that are answers.
        out: What it wrote on its standard output; empty where that went elsewhere.
        errors: What it wrote on its standard error; empty where that went elsewhere.
    """

    status: int
    out: bytes
    errors: bytes

    @property
    def text(self) -> str:
        """Its standard output; bytes that are not UTF-8 survive a way back."""
        return self.out.decode("utf-8", "surrogateescape")

    @property
    def words(self) -> str:
        """What it said on its standard error, to be shown."""
        return self.errors.decode("utf-8", "replace").strip()


def ask(
    command: Sequence[str | Path],
    *,
    answers: Sequence[int] = (0,),
    named: str | None = None,
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    given: bytes | IO[bytes] | None = None,
    out: int | IO[bytes] | None = subprocess.PIPE,
    errors: int | None = subprocess.PIPE,
    limit: float | None = None,
) -> Answer:
    """Run a program to its end.

    Args:
        command: The program and its arguments.
        answers: The exit statuses that are answers; with every other one the program has failed.
        named: What a failure calls it (``git status``); by default the program's name.
        folder: Where it runs.
        environ: All of its variables; by default this process's.
        given: What it reads: bytes, or a file; by default nothing.
        out: Where its standard output goes; None is where this process's goes.
        errors: Where its standard error goes; None is where this process's goes.
        limit: Seconds after which it is ended.

    Raises:
        ToolError: It could not be started, was ended by a signal or by the limit, or its exit status is not an answer;
            with its own words.
    """
    name = named or Path(command[0]).name
    source: dict[str, Any] = {"input": given} if isinstance(given, bytes) else {"stdin": given or subprocess.DEVNULL}
    try:
        done = subprocess.run(
            list(map(str, command)),
            **source, cwd=folder, env=environ, stdout=out, stderr=errors, timeout=limit, check=False,
        )  # fmt: skip
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
    """Run a program to its end, and pass on each line that it writes, when it writes it.

    Args:
        command: The program and its arguments.
        out: Takes a line of its standard output; tells whether to go on. Where not, the program is ended.
        errors: The same for its standard error, which always goes on.
        named: What a failure calls it.
        folder: Where it runs.
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
        raise failure(name=named, how=ended(process.returncode), said=None)


def _pass_on(pipe: IO[bytes] | None, take: Callable[[str], bool], *, to_the_end: bool = False) -> bool:
    for line in iter(lambda: pipe.readline(_LINE), b"") if pipe else ():
        if not take(line.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")) and not to_the_end:
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


def failure(name: str, how: str, said: bytes | str | None) -> ToolError:
    """Return the error of a program that failed: how it ended, and its own last words."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said or ""
    words = text.strip()[-_LONGEST:]
    return ToolError(f"{name} failed ({how}):\n{words}" if words else f"{name} failed: {how}, without a word.")


def ended(status: int) -> str:
    """Say how a program ended, by its exit status as Python gives it.

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
        return ToolError(f"{name} cannot run in {folder}: there is no such folder.")
    if isinstance(error, FileNotFoundError):
        cure = _CURES.get(Path(name).name)
        return ToolError(f"The program {name!r} was not found" + (f": {cure}." if cure else "."))
    return ToolError(f"{name} could not be started: {error.strerror or error}.")


def is_installed(name: str) -> bool:
    """Tell whether a program is on PATH.

    Raises:
        ToolError: It is there, but may not be run.
    """
    if shutil.which(name):
        return True
    # A folder that this user may not enter has no programs for them, as the shell sees it.
    paths = (os.path.join(folder, name) for folder in os.get_exec_path())  # noqa: PTH118 - a Path's is_file would raise
    blocked = [path for path in paths if os.path.isfile(path)]  # noqa: PTH113
    if blocked:
        raise ToolError(f"{blocked[0]} cannot be run: it is not executable for this user.")
    return False

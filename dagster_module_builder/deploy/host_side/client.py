"""The connection to the client, and the programs that run for it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time

from .errors import GoneError
from .outside import failed, how_it_ended, not_started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from typing import Any, BinaryIO

#: Seconds of silence after which the client counts as gone, and seconds to undo its work after that. The sum is less
#: than the minute within which the lock must be free.
SILENCE = 20.0
UNDOING = 30.0
SIGN_OF_LIFE = 5.0
#: Seconds between two looks at what a program wrote, and the most characters of a line that the client is told.
LOOK = 1.0
LONGEST_LINE = 300
#: Bytes that any usable connection carries within that silence.
PART = 16 << 10


class Client:
    """Reads requests, writes answers, and notices when the client is gone."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self.requests, self.answers = requests, answers
        # Signal handlers put into it, so it has to be reentrant.
        self.inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.gone = threading.Event()
        self.leaving = False
        #: Set when a client that is gone left nothing to undo any more.
        self.undone = threading.Event()
        self.heard = time.monotonic()
        self.running: set[subprocess.Popen[bytes]] = set()
        self.writing = threading.Lock()
        for work in (self.listen, self.watch, self.breathe):
            threading.Thread(target=work, daemon=True).start()

    def listen(self) -> None:
        """Read requests and signs of life until the channel is closed."""
        try:
            for line in iter(self.requests.readline, b""):
                self.heard = time.monotonic()
                if line.strip():
                    request = json.loads(line)
                    if "attached" in request:
                        request["attached"] = self.attached(request["attached"])
                    self.inbox.put(request)
        except (OSError, ValueError):
            pass
        finally:
            self.leave()

    def attached(self, size: int) -> bytes:
        """Return the bytes that follow a request's line; each part counts as a sign of life."""
        parts = bytearray()
        while len(parts) < size:
            part = self.requests.read(min(size - len(parts), PART))
            if not part:
                raise ValueError("the channel was closed")
            self.heard = time.monotonic()
            parts += part
        return bytes(parts)

    def watch(self) -> None:
        """End the work of a silent client, and end this process if the work cannot be undone in time."""
        while not self.gone.wait(1.0):
            if time.monotonic() - self.heard > SILENCE:
                self.leave()
        if not self.undone.wait(UNDOING):
            os._exit(1)

    def leave(self) -> None:
        """Note that the client is gone, and end the programs that run for it."""
        # A signal may arrive while another is handled, and the event's lock cannot be taken twice (threading.Event).
        if not self.leaving:
            self.leaving = True
            self.gone.set()
        self.inbox.put(None)
        for process in list(self.running):
            kill_group(process)

    def next_request(self) -> dict[str, Any] | None:
        """Wait for a request and return it; None when no more will come.

        A signal that reaches another thread, or the moment before this one sleeps, wakes nothing: its handler runs when
        the wait is over (https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers).
        """
        while True:
            with contextlib.suppress(queue.Empty):
                return self.inbox.get(timeout=1.0)

    def breathe(self) -> None:
        """Send signs of life."""
        while not self.gone.wait(SIGN_OF_LIFE):
            self.say(b"\n")

    def say(self, line: bytes) -> None:
        """Write one line; an error means that the client is gone, and is ignored."""
        with self.writing, contextlib.suppress(OSError, ValueError):
            self.answers.write(line)
            self.answers.flush()

    def answer(self, **data: Any) -> None:
        """Answer a request, or report its progress."""
        self.say(json.dumps(data).encode() + b"\n")

    def check(self) -> None:
        """Raise GoneError if the client is gone."""
        if self.gone.is_set():
            raise GoneError

    def run(
        self, command: Sequence[str], stdin: bytes | None = None, limit: float | None = None, **options: Any
    ) -> tuple[int, str]:
        """Run a program whose failure the caller reports; return its exit status and its combined output.

        Use ``ask`` where only success is an answer.
        """
        status, said, _ = self.outcome(command, stdin, limit, stderr=subprocess.STDOUT, **options)
        return status, said if status >= 0 else f"{said.rstrip()}\n({how_it_ended(status)})".lstrip()

    def ask(
        self,
        command: Sequence[str],
        *,
        answers: Container[int] = (0,),
        code: str = "tool",
        limit: float | None = None,
        **options: Any,
    ) -> tuple[int, str]:
        """Run a program that has to succeed; return its exit status and its standard output.

        Args:
            command: The program and its arguments.
            answers: The exit statuses that count as success.
            code: The failure's code, for the client.
            limit: Seconds until it is killed.
            options: Those of ``subprocess.Popen``.

        Raises:
            RefusedError: It could not be started, was killed, or failed; with its own words.
        """
        status, said, words = self.outcome(command, None, limit, **options)
        if status not in answers:
            raise failed(code, command, status, words if words.strip() else said)
        return status, said

    def communicate(
        self, process: subprocess.Popen[bytes], stdin: bytes | None, limit: float | None
    ) -> tuple[bytes, bytes]:
        """Wait for a program as ``Popen.communicate`` does, and tell the client the last line that it wrote."""
        end, told = None if limit is None else time.monotonic() + limit, ""
        while True:
            try:
                return process.communicate(stdin, LOOK if end is None else max(0.0, min(LOOK, end - time.monotonic())))
            except subprocess.TimeoutExpired as unfinished:
                if end is not None and time.monotonic() >= end:
                    raise
                stdin = None
                line = last_line(unfinished.stderr) or last_line(unfinished.output)
                if line and line != told:
                    told = line
                    self.answer(line=line)

    def outcome(
        self, command: Sequence[str], stdin: bytes | None = None, limit: float | None = None, **options: Any
    ) -> tuple[int, str, str]:
        """Run a program in a new process group; return its exit status, standard output and standard error.

        Raises:
            RefusedError: It could not be started.
        """
        self.check()
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        options = {"stderr": subprocess.PIPE, **options}
        try:
            process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE, start_new_session=True, **options)
        except OSError as error:
            raise not_started(command, error) from error
        self.running.add(process)
        late = b""
        try:
            if self.gone.is_set():
                kill_group(process)
            said, words = self.communicate(process, stdin, limit)
        except subprocess.TimeoutExpired:
            kill_group(process)
            said, words = process.communicate()
            late = f"\n(ended after {limit} seconds)".encode()
        finally:
            self.running.discard(process)
        self.check()
        said, words = (said + late, words) if words is None else (said, words + late)
        return process.returncode, said.decode("utf-8", "replace"), (words or b"").decode("utf-8", "replace")


def last_line(output: bytes | None) -> str:
    r"""Return the last line of an output that is not empty: ``b"one\\n 10%\\r 20%" -> "20%"``."""
    lines = [line for line in (output or b"")[-4096:].replace(b"\r", b"\n").split(b"\n") if line.strip()]
    return lines[-1].decode("utf-8", "replace").strip()[:LONGEST_LINE] if lines else ""


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children; the number of one that was waited for may belong to another by now."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def tail(text: str) -> str:
    """Return the last 25 lines of a program's output."""
    return "\n".join(text.strip().splitlines()[-25:])

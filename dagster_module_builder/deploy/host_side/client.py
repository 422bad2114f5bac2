"""The client, heard and answered; and the programs that run for it."""

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

#: Seconds without a sign of the client after which it counts as gone, and seconds for undoing after that. The sum is
#: less than the minute within which the lock has to be free.
SILENCE = 20.0
UNDOING = 30.0
SIGN_OF_LIFE = 5.0
#: Bytes that a wire worth deploying over carries within that silence.
PART = 16 << 10


class Client:
    """Hears the client, and notices when it is gone."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self.requests, self.answers = requests, answers
        # Signal handlers put into it, so it has to be reentrant.
        self.inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.gone = threading.Event()
        self.leaving = False
        self.heard = time.monotonic()
        self.running: set[subprocess.Popen[bytes]] = set()
        self.writing = threading.Lock()
        for work in (self.listen, self.watch, self.breathe):
            threading.Thread(target=work, daemon=True).start()

    def listen(self) -> None:
        """Take in requests and signs of life until the channel is closed."""
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
        """Take in the bytes behind a request's line; each part of them is a sign of life."""
        parts = bytearray()
        while len(parts) < size:
            part = self.requests.read(min(size - len(parts), PART))
            if not part:
                raise ValueError("the channel was closed")
            self.heard = time.monotonic()
            parts += part
        return bytes(parts)

    def watch(self) -> None:
        """End the work of a client that is silent, and this process if it cannot be undone in time."""
        while not self.gone.wait(1.0):
            if time.monotonic() - self.heard > SILENCE:
                self.leave()
        time.sleep(UNDOING)
        os._exit(1)

    def leave(self) -> None:
        """Note that the client is gone, and end what runs for it."""
        # A signal may come while another is dealt with, and the event's lock cannot be taken twice (threading.Event).
        if not self.leaving:
            self.leaving = True
            self.gone.set()
        self.inbox.put(None)
        for process in list(self.running):
            kill_group(process)

    def next_request(self) -> dict[str, Any] | None:
        """Wait for a request; None where no more come.

        A signal that reaches another thread, or the moment before this one sleeps, wakes nothing: its handler runs when
        the wait is over (https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers).
        """
        while True:
            with contextlib.suppress(queue.Empty):
                return self.inbox.get(timeout=1.0)

    def breathe(self) -> None:
        """Give signs of life."""
        while not self.gone.wait(SIGN_OF_LIFE):
            self.say(b"\n")

    def say(self, line: bytes) -> None:
        """Write one line, unless nobody is there to read it."""
        with self.writing, contextlib.suppress(OSError, ValueError):
            self.answers.write(line)
            self.answers.flush()

    def answer(self, **data: Any) -> None:
        """Answer a request, or tell of its progress."""
        self.say(json.dumps(data).encode() + b"\n")

    def check(self) -> None:
        """Raise GoneError where the client is gone."""
        if self.gone.is_set():
            raise GoneError

    def run(
        self, command: Sequence[str], given: bytes | None = None, limit: float | None = None, **options: Any
    ) -> tuple[int, str]:
        """Run a program whose failure the caller reports; return its exit status and all that it said.

        Where only success is an answer, ``ask`` is the door.
        """
        status, said, _ = self.outcome(command, given, limit, stderr=subprocess.STDOUT, **options)
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
        """Run a program whose answer is relied on; return its exit status and its standard output.

        Args:
            command: The program and its arguments.
            answers: The exit statuses that are answers; with every other one the program has failed.
            code: Which kind of failure that is, for the client.
            limit: Seconds until it is ended.
            options: Those of ``subprocess.Popen``.

        Raises:
            RefusedError: It could not be started, was ended, or failed; in its own words.
        """
        status, said, words = self.outcome(command, None, limit, **options)
        if status not in answers:
            raise failed(code, command, status, words if words.strip() else said)
        return status, said

    def outcome(
        self, command: Sequence[str], given: bytes | None = None, limit: float | None = None, **options: Any
    ) -> tuple[int, str, str]:
        """Run a program in a process group of its own; return its exit status, its output and its complaints.

        Raises:
            RefusedError: It could not be started.
        """
        self.check()
        source = subprocess.DEVNULL if given is None else subprocess.PIPE
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
            said, words = process.communicate(given, timeout=limit)
        except subprocess.TimeoutExpired:
            kill_group(process)
            said, words = process.communicate()
            late = f"\n(ended after {limit} seconds)".encode()
        finally:
            self.running.discard(process)
        self.check()
        said, words = (said + late, words) if words is None else (said, words + late)
        return process.returncode, said.decode("utf-8", "replace"), (words or b"").decode("utf-8", "replace")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and what it started; one that was waited for may have left its number to another."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def tail(text: str) -> str:
    """Return the last lines of what a program said."""
    return "\n".join(text.strip().splitlines()[-25:])

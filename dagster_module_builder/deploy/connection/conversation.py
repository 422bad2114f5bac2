"""The client's side of a deployment's conversation with one host."""

from __future__ import annotations

import collections
import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.connection import host_start
from dagster_module_builder.deploy.connection.answers import MESSAGE, answer_to, parsed
from dagster_module_builder.deploy.connection.channels import OPENSSH_FAILED, OpenSshChannel
from dagster_module_builder.deploy.connection.host_start import program, start_line
from dagster_module_builder.deploy.host_side import dumps
from dagster_module_builder.programs.last_lines import Line

if TYPE_CHECKING:
    from dagster_module_builder.deploy.connection.channels import Channel
    from dagster_module_builder.deploy.connection.remote import Remote

SIGN_OF_LIFE = 5.0
#: The most seconds that start files of a login shell may take, and the most bytes that they may print.
GREETED_WITHIN = 60.0
NOISE = 256 << 10
#: The most bytes of unread messages, and the overhead of each; the most progress messages, signs of life, and seconds
#: before an answer.
UNREAD = 16 << 20
BESIDE = 100
PROGRESS = 10_000
SIGNS = 100_000
ANSWERED_WITHIN = dumps.DUMPING + 1800
#: Codes of failures of the host's programs, its Dagster or its disk.
_TOOL_CODES = {"dagster", "daemon", "docker", "environment", "health", "os", "python", "tool"}


class HostError(ToolError):
    """The host, or a program on it, failed; ``code`` says how."""

    def __init__(self, message: str, code: str, details: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.code, self.details = code, details


class LostError(ToolError):
    """The connection broke; the host undoes unfinished work by itself."""


class Conversation:
    """Requests to one host and their answers, over one channel; signs of life go both ways."""

    def __init__(
        self, remote: Remote, progress: Callable[[str], None] = lambda _: None, python: str | None = None
    ) -> None:
        """Prepare a conversation.

        Args:
            remote: The host.
            progress: Told which step the host is in, and what its programs say.
            python: The interpreter on the host; None for ``python3``, or else the newest version that is found.
        """
        self.remote = remote
        self.progress = progress
        self.python = python
        self._program = program()
        self._sending = threading.Lock()
        self._closed = threading.Event()
        self._complaints: collections.deque[bytes] = collections.deque(maxlen=50)
        self._channel: Channel | None = None
        #: The output before the greeting, from start files of the login shell.
        self._noise = bytearray()
        #: The host's first message: its protocol and its process.
        self.greeting: Mapping[str, Any] = {}
        self._answers: Any = None
        #: The host's messages that are not read yet; None marks the end.
        self._inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._received = self._taken = 0
        self._opening: threading.Thread | None = None
        self._failure: Exception | None = None
        self._hints: list[tuple[str, Mapping[str, Any]]] = []
        #: The requests that have no answer yet.
        self._owed: list[tuple[str, Mapping[str, Any]]] = []
        #: Set when the greeting has arrived, or will never arrive.
        self._greeted = threading.Event()

    def begin(self, *hints: tuple[str, Mapping[str, Any]]) -> None:
        """Begin to open the channel in the background; ``open`` waits for it.

        Args:
            hints: Requests that the host may begin with; their results are ignored.
        """
        self._hints = [*hints]
        self._opening = threading.Thread(target=self._open_alone, daemon=True)
        self._opening.start()

    def _open_alone(self) -> None:
        try:
            self._open()
        except Exception as failure:  # noqa: BLE001 - raised where it is waited for
            self._failure = failure
        if self._closed.is_set():
            self.remote.close()

    def open(self) -> Conversation:
        """Open the channel and send the host's side of the conversation, without waiting for an answer.

        Raises:
            RefusedError: The host's key is not pinned, or differs from the pinned one.
            ToolError: The host cannot be reached, or denies the login.
        """
        if self._opening is None:
            self._open()
            return self
        self._opening.join()
        if self._failure is not None:
            raise self._failure
        return self

    def _open(self) -> None:
        channel = self.remote.session(start_line(len(self._program), self.python))
        self._channel, self._answers = channel, channel.makefile("rb")
        for work in (self._breathe, self._listen, self._drain):
            threading.Thread(target=work, daemon=True).start()
        self._send(self._program + b"".join(map(_line, self._hints)))

    def _breathe(self) -> None:
        while not self._closed.wait(SIGN_OF_LIFE):
            try:
                self._send(b"\n")
            except BuilderError:
                return

    def _listen(self) -> None:
        """Read messages until the host is gone or silent, so that a partition is noticed even while files are sent."""
        try:
            self._await_greeting()
            self._greeted.set()
            self._take_in()
        except (OSError, EOFError, ValueError, RecursionError):
            pass
        finally:
            self._greeted.set()
            self._inbox.put(None)

    def _take_in(self) -> None:
        """Read messages as long as the host keeps the limits."""
        signs = 0
        while self.greeting and signs < SIGNS and self._received - self._taken < UNREAD:
            line = self._answers.readline(MESSAGE)
            if not line.endswith(b"\n"):
                return
            signs = 0 if line.strip() else signs + 1
            if line.strip():
                self._received += len(line) + BESIDE
                self._inbox.put(line)

    def _await_greeting(self) -> None:
        """Skip the output of the login shell's start files, until the greeting arrives."""
        end = time.monotonic() + GREETED_WITHIN
        while not self.greeting and time.monotonic() < end and len(self._noise) < NOISE:
            line = self._answers.readline(NOISE)
            if not line:
                return
            if line.startswith(host_start.GREETING):
                self.greeting = parsed_greeting(line)
            if not self.greeting:
                self._noise += line

    def _drain(self) -> None:
        """Read the host's standard error: a full pipe would block it."""
        if self._channel is None:
            return
        while not self._closed.is_set():
            with contextlib.suppress(TimeoutError):
                text = self._channel.recv_stderr(65536)
                if not text:
                    return
                self._complaints.append(text)

    def _send(self, data: bytes) -> None:
        try:
            if self._channel is None:
                raise OSError
            with self._sending:
                self._channel.sendall(data)
        except (OSError, EOFError):  # Paramiko raises either for a connection that is gone.
            raise self._lost() from None

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Send a request to the host, and return its answer.

        Raises:
            RefusedError: The host refused; this request changed nothing.
            HostError: The host, or a program on it, failed.
            LostError: The connection broke.
        """
        (result,) = self.ask_all([(what, arguments)])
        return result

    def ask_all(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Send several requests in one round trip; all are answered before the first failure is raised."""
        posted = len(self._owed)
        self.post(requests)
        while self._hints:
            self._answer(*self._hints.pop(0))
        answers = []
        while self._owed:
            answers.append(self._answer(*self._owed.pop(0)))
        failures = [answer for answer in answers if not answer["ok"]]
        if failures:
            raise _failure(str(self.remote.address), failures[0])
        return [answer["result"] for answer in answers[posted:]]

    def post(self, requests: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Send requests without waiting for their answers; the next ``ask`` raises their failures."""
        for request in requests:
            self._send(_line(request))
            what, asked = request
            self._owed.append((what, {} if "attached" in asked else asked))

    def _answer(self, what: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Wait for the answer to a request; end the conversation with a host that breaks the rules."""
        if not self._greeted.wait(GREETED_WITHIN):
            lost = self._lost()
            self.close()
            raise lost
        end = time.monotonic() + ANSWERED_WITHIN
        for _ in range(PROGRESS):
            try:
                line = self._inbox.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if line is None:
                self._inbox.put(None)
                raise self._lost()
            self._taken += len(line) + BESIDE
            data = parsed(line)
            if data is None:
                raise self._broken(f"the host sent {line[:200]!r}, which is not a valid message")
            if "ok" not in data:
                self.progress(Line(data["line"]) if "line" in data else data["progress"])
                continue
            if data["ok"] and (problem := answer_to(what, data["result"], asked)):
                raise self._broken(f"the host's answer to {what!r} is not valid ({problem})")
            return data
        raise self._broken("the host reported progress, but did not answer")

    def _broken(self, what: str) -> ToolError:
        """End a conversation with a host that breaks the rules; return the error."""
        self.close()
        self._inbox.put(None)
        return ToolError(f"{self.remote.address}: {what}. Run the command again; if that fails, check the host itself.")

    def _lost(self) -> BuilderError:
        time.sleep(0.05)
        complaints = b"".join(self._complaints).decode("utf-8", "replace").strip()
        status = self._channel.recv_exit_status() if self._channel and self._channel.exit_status_ready() else None
        if not self.greeting and isinstance(self._channel, OpenSshChannel) and status == OPENSSH_FAILED:
            return self.remote.refusal(complaints)
        noise = self._noise.decode("utf-8", "replace").strip()
        if not self.greeting and (noise or complaints or status is not None):
            return host_start.refusal(str(self.remote.address), self.python, noise, complaints)
        reason = complaints.splitlines()[-1] if complaints else ""
        return LostError(
            f"The connection to {self.remote.address} was lost{': ' + reason if reason else ''}. The host undoes "
            f"unfinished work by itself: see 'deploy.status'."
        )

    def close(self) -> None:
        """End the conversation; the host frees its lock."""
        self._closed.set()
        if self._opening is not None:
            # A thread that hangs ends by itself later, and then closes what it opened.
            self._opening.join(1)
        if self._channel is not None:
            # Paramiko says goodbye to the host, and raises either of these if the connection has just broken.
            with contextlib.suppress(OSError, EOFError):
                self._channel.close()

    @property
    def is_closed(self) -> bool:
        """Whether this side has ended it."""
        return self._closed.is_set()

    def __enter__(self) -> Conversation:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()


def parsed_greeting(line: bytes) -> dict[str, Any]:
    """Return a host's greeting; empty if the line is not a valid one."""
    data = json.loads(line)
    fitting = data.keys() == {"hello", "pid"} and all(type(value) is int for value in data.values())
    return dict(data) if fitting else {}


def _line(request: tuple[str, Mapping[str, Any]]) -> bytes:
    """Return a request as the host reads it: a line of JSON, then attached bytes, whose number is in the line."""
    what, arguments = request
    attached: bytes = arguments.get("attached", b"")
    said = {"do": what, **arguments, **({"attached": len(attached)} if attached else {})}
    return json.dumps(said).encode() + b"\n" + attached


def _failure(host: str, answer: Mapping[str, Any]) -> BuilderError:
    message = f"{host}: {answer['message']}"
    if answer["code"] in _TOOL_CODES or answer["details"]:
        return HostError(message, answer["code"], answer["details"])
    return HostRefusedError(message, answer["code"])


class HostRefusedError(RefusedError):
    """The host refused; ``code`` says why."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code

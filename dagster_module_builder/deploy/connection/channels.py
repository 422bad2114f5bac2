"""A command on a host, over Fabric's connection or by OpenSSH: its input and its output."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from typing import Any, Protocol

from dagster_module_builder.programs import outside_programs

#: Seconds of silence after which a connection counts as lost.
SILENCE = 30
#: Bytes that may be on their way to OpenSSH.
_UNREAD = 1 << 20
#: The exit status of OpenSSH's own failures (ssh(1), EXIT STATUS).
OPENSSH_FAILED = 255


class Channel(Protocol):
    """What a conversation needs of a channel; Paramiko's channels have it."""

    def sendall(self, data: bytes) -> None:
        """Send all of the data."""

    def makefile(self, mode: str) -> Any:
        """Return the command's standard output, as a file."""

    def recv_stderr(self, size: int) -> bytes:
        """Return a part of the command's standard error; empty at its end."""

    def exit_status_ready(self) -> bool:
        """Tell whether the command has ended."""

    def recv_exit_status(self) -> int:
        """Return the command's exit status."""

    def close(self) -> None:
        """Close the channel, which ends the command."""


class OpenSshChannel:
    """A command on a host, run by OpenSSH: for SSH settings that Paramiko does not support."""

    def __init__(self, command: Sequence[str]) -> None:
        self._files: list[Any] = []
        with contextlib.ExitStack() as ours:
            self._wire, its = map(ours.enter_context, socket.socketpair())
            self._complaints, said = map(ours.enter_context, socket.socketpair())
            with its, said:
                self._process = outside_programs.start(
                    command, stdin=its.fileno(), stdout=its.fileno(), stderr=said.fileno(), start_new_session=True
                )
            ours.pop_all()
        for end in (self._wire, self._complaints):
            end.settimeout(SILENCE)
        # A quarter of the buffer counts as full (Linux's unix_writable): a request is not to wait for a host that has
        # yet to read its side of the conversation, which takes most of the usual quarter.
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
        self._closing = threading.Lock()
        self._is_closed = False

    def sendall(self, data: bytes) -> None:
        """Send all of the data."""
        # Python's own 'sendall' has one time limit for all of it, which a slow line would exceed.
        left = memoryview(data)
        while left:
            left = left[self._wire.send(left) :]

    def makefile(self, mode: str) -> Any:
        """Return the command's standard output, as a file."""
        file = self._wire.makefile(mode)  # type: ignore[call-overload]
        self._files.append(file)
        return file

    def recv_stderr(self, size: int) -> bytes:
        """Return a part of the standard error of OpenSSH or the command; empty at its end."""
        try:
            return self._complaints.recv(size)
        except TimeoutError:
            raise
        except OSError:  # It was closed.
            return b""

    def exit_status_ready(self) -> bool:
        """Tell whether OpenSSH has ended; it ends right after it has closed its output."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        return self._process.poll() is not None

    def recv_exit_status(self) -> int:
        """Return the command's exit status; ``OPENSSH_FAILED`` if it was never started."""
        return int(self._process.wait())

    def close(self) -> None:
        """End OpenSSH, and with it the command; further calls do nothing."""
        with self._closing:
            if self._is_closed:
                return
            self._is_closed = True
        for end in (self._wire, self._complaints):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        end_program(self._process)
        # A socket is closed only with the files made from it; their readers have reached the end by now.
        for open_file in (*self._files, self._wire, self._complaints):
            open_file.close()


def end_program(process: outside_programs.Process | None) -> None:
    """End a program that carries a connection."""
    if process is None:
        return
    # It leads its own process group, which includes its children.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            pipe.close()

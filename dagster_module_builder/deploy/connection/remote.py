"""The connections to another machine: Fabric for the conversation, OpenSSH for files, both with pinned keys."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.connection.address import Address
from dagster_module_builder.deploy.connection.channels import SILENCE, Channel, OpenSshChannel, end_program
from dagster_module_builder.deploy.connection.host_keys import is_pinned, key_changed, not_pinned, refuse_unpinned
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.programs import outside_programs

if TYPE_CHECKING:
    from fabric import Connection

__all__ = ["SILENCE", "Address", "Remote"]

#: The longest path of a folder in which a socket fits: systems allow at least 104 bytes, and OpenSSH adds up to 17
#: (sun_path in unix(4); mux.c).
SHORT = 60


class NotLetInError(ToolError):
    """The host answers with the pinned key, but it denies the login, or Paramiko cannot go on."""


class Remote:
    """One host: a Fabric connection and an OpenSSH connection, each opened at its first use."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connection: Connection | None = None
        self._jump: outside_programs.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._master: outside_programs.Process | None = None
        self._closing = threading.Lock()

    def session(self, command: str) -> Channel:
        """Start a command on the host: over Fabric's connection, or by OpenSSH if Paramiko cannot reach it.

        Raises:
            RefusedError: A host's key is not pinned, or differs from the pinned one.
            ToolError: The host cannot be reached, or denies the login.
        """
        refuse_unpinned(self.address.before)
        if not self.address.only_openssh:
            # OpenSSH may support a kind of key or encryption that Paramiko does not.
            with contextlib.suppress(NotLetInError):
                return _started(self.address, self.connection(), command)
        if not is_pinned(self.address):
            raise not_pinned(self.address)
        return OpenSshChannel([*self.address.ssh(), "--", self.address.host, command])

    def refusal(self, said: str) -> BuilderError:
        """Return the error for a command that OpenSSH could not start, by its message."""
        address, words = self.address, " ".join(said.split())
        if "IDENTIFICATION HAS CHANGED" in said:
            return key_changed(address)
        if "Permission denied" in said or "Too many authentication failures" in said:
            cure = "use a key that is in its authorized_keys"
            return ToolError(f"{address} does not let {address.user_there!r} in: {cure} ({words}).")
        return ToolError(f"{address} cannot be reached: {words or 'ssh gave no reason'}.")

    def connection(self) -> Connection:
        """Return the Fabric connection, opened.

        Raises:
            RefusedError: The host's key is not pinned, or differs from the pinned one.
            NotLetInError: The host denies Paramiko the login.
            ToolError: The host cannot be reached.
        """
        if self._connection is None:
            command = self.address.wire()
            with tempfile.TemporaryFile() as said:
                wire = self._wire(command, said) if command else _direct(self.address)
                try:
                    self._connection = _connected(self.address, wire, said)
                except BaseException:
                    wire.close()
                    raise
        return self._connection

    def _wire(self, command: str, said: IO[bytes]) -> socket.socket:
        """Start the proxy command, and return the socket that leads through it."""
        with contextlib.ExitStack() as kept:
            ours, its = socket.socketpair()
            kept.enter_context(ours)
            with its:
                self._jump = outside_programs.start(
                    # As OpenSSH does it (ssh_config(5), ProxyCommand).
                    [os.environ.get("SHELL") or "/bin/sh", "-c", f"exec {command}"],
                    stdin=its.fileno(),
                    stdout=its.fileno(),
                    stderr=said,
                    start_new_session=True,
                )
            kept.pop_all()
        return ours

    def prepare_bulk(self) -> None:
        """Begin to open the OpenSSH connection in the background."""
        if self._master is None:
            self._folder = tempfile.TemporaryDirectory(prefix="dmb-", dir=short_folder())
            # It ends when its input is closed, so nothing is left of it when this process is killed.
            command = [*self.address.ssh(("yes", self._control)), "--", self.address.host, "exec cat >/dev/null"]
            self._master = outside_programs.start(
                ["/bin/sh", "-c", '"$@"; rm -rf "$0"', self._folder.name, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

    @property
    def _control(self) -> str:
        return f"{self._folder.name if self._folder else ''}/s"

    def bulk(self) -> list[str]:
        """Return the OpenSSH command line (without the host) that uses the opened connection."""
        refuse_unpinned(self.address.before)
        self.prepare_bulk()
        for _ in range(self.address.connect_timeout * 100):
            if Path(self._control).exists():
                break
            if self._master is not None and self._master.poll() is not None:
                said = self._master.stderr.read().decode("utf-8", "replace") if self._master.stderr else ""
                raise ToolError(f"{self.address}: OpenSSH could not connect: {said.strip()}")
            time.sleep(0.01)
        return self.address.ssh(("no", self._control))

    def close(self) -> None:
        """Close both connections; further calls do nothing."""
        with self._closing:
            connection, jump, master, folder = self._connection, self._jump, self._master, self._folder
            self._connection = self._jump = self._master = self._folder = None
        if connection is not None:
            with contextlib.suppress(Exception):  # Closing a broken connection may fail.
                connection.close()
        end_program(jump)
        end_program(master)
        if folder is not None:
            with contextlib.suppress(OSError):  # The shell that runs OpenSSH removes it, too.
                folder.cleanup()

    def __enter__(self) -> Remote:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def short_folder() -> str:
    """Return a folder for temporary files whose path is short enough for a socket in it."""
    usual = tempfile.gettempdir()
    folders = (usual, os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp")  # noqa: S108 - ours is 0700
    fitting = (path for path in folders if path and len(os.fsencode(path)) <= SHORT and os.access(path, os.W_OK))
    return next(fitting, usual)


def _started(address: Address, connection: Connection, command: str) -> Channel:
    """Start a command over Fabric's connection."""
    import paramiko

    try:
        channel = connection.transport.open_session(timeout=SILENCE)
        channel.settimeout(SILENCE)
        channel.exec_command(command)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise ToolError(f"{address} does not start a command: {error or type(error).__name__}.") from None
    opened: Channel = channel
    return opened


def _direct(address: Address) -> socket.socket:
    """Return a connected socket without Nagle's algorithm, which would delay a request's end for a round trip."""
    host_and_port = (address.settings["hostname"], int(address.settings["port"]))
    try:
        wire = socket.create_connection(host_and_port, address.connect_timeout)
    except (OSError, UnicodeError) as error:  # An impossible name, such as 'a..b', cannot be encoded.
        raise ToolError(f"{address} cannot be reached: {getattr(error, 'strerror', None) or error}.") from None
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def _connected(address: Address, wire: socket.socket, said: IO[bytes]) -> Connection:
    """Log in over a socket; if that fails, ``said`` holds the proxy command's messages."""
    import paramiko  # takes half a second, which commands without a host need not wait
    from fabric import Config, Connection

    # Without a handler Python prints Paramiko's tracebacks; the error reports the failure.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    arguments: dict[str, Any] = {
        "banner_timeout": address.connect_timeout,
        "auth_timeout": address.connect_timeout,
        "look_for_keys": False,
        "allow_agent": _asks_agent(address),
        "key_filename": address.identities(),
        "sock": wire,
    }
    connection = Connection(
        address.settings["hostname"],
        user=address.user_there,
        port=int(address.settings["port"]),
        connect_timeout=address.connect_timeout,
        connect_kwargs=arguments,
        config=Config(overrides={"load_ssh_configs": False}, lazy=True),
    )
    # By default Fabric accepts any key and reads no file of known ones (3.2).
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    if address.known_hosts.is_file():
        try:
            connection.client.load_host_keys(str(address.known_hosts))
        except (paramiko.hostkeys.InvalidHostKey, ValueError):
            raise RefusedError(
                f"{address.known_hosts} has a line that is not a key. Delete it, and run 'deploy.trust "
                f"{typed(address.known_hosts.parent)}'."
            ) from None
    try:
        connection.open()
    except (paramiko.SSHException, OSError, EOFError) as error:
        connection.close()
        said.seek(0)
        raise _refusal(address, error, " ".join(said.read().decode("utf-8", "replace").split())) from None
    connection.transport.set_keepalive(5)
    return connection


def _asks_agent(address: Address) -> bool:
    """Tell whether to try the agent's keys: not if only certain keys are allowed."""
    only = bool(address.identity_file) or address.settings.get("identitiesonly") == "yes"
    return not only and "SSH_AUTH_SOCK" in os.environ


def _refusal(address: Address, error: Exception, said: str) -> BuilderError:
    import paramiko

    if isinstance(error, paramiko.BadHostKeyException):
        return key_changed(address)
    if "not found in known_hosts" in str(error):
        return not_pinned(address)
    is_reached = isinstance(error, paramiko.SSHException) and "banner" not in str(error)
    if isinstance(error, paramiko.AuthenticationException) or (is_reached and not said):
        return NotLetInError(f"{address} does not let {address.user_there!r} in ({error}).")
    return ToolError(f"{address} cannot be reached: {said or error or type(error).__name__}.")

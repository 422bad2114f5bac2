"""The one door to other machines: Fabric for the conversation, OpenSSH for bulk, both with the same pinned keys."""

from __future__ import annotations

import base64
import contextlib
import functools
import getpass
import hashlib
import logging
import os
import re
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder import outside_programs
from dagster_module_builder.errors import RefusedError, ToolError

if TYPE_CHECKING:
    from fabric import Connection

CONNECT_TIMEOUT = 15
#: Seconds after which a connection that carries nothing is given up.
SILENCE = 30


@dataclass(frozen=True)
class Address:
    """Where a host is, and which keys it may show.

    Attributes:
        host: Its name or address, or an alias in the SSH configuration.
        known_hosts: The file with the keys that are pinned for it.
        port: None takes the SSH configuration's.
        user: None takes the SSH configuration's.
        identity_file: The private key; None takes the SSH configuration's and the agent's.
        config: The SSH configuration; None takes the person's own.
    """

    host: str
    known_hosts: Path
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    config: str | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host

    @functools.cached_property
    def settings(self) -> Mapping[str, str]:
        """What OpenSSH makes of this address: the last value of each keyword of ``ssh -G``."""
        answer = _run(["ssh", "-G", *self._options(), "--", self.host])
        pairs = (line.partition(" ") for line in answer.splitlines())
        return {key: value for key, _, value in pairs}

    def _options(self) -> list[str]:
        options = ["-F", str(Path(self.config).expanduser())] if self.config else []
        options += ["-p", str(self.port)] if self.port else []
        options += ["-l", self.user] if self.user else []
        options += ["-i", str(Path(self.identity_file).expanduser())] if self.identity_file else []
        return options

    @property
    def pinned_as(self) -> str:
        """The name under which its key stands in ``known_hosts``."""
        name, port = self.settings["hostname"], int(self.settings["port"])
        return name if port == 22 else f"[{name}]:{port}"

    def identities(self) -> list[str]:
        """Return the private keys to try, in OpenSSH's order."""
        if self.identity_file:
            return [str(Path(self.identity_file).expanduser())]
        answer = _run(["ssh", "-G", *self._options(), "--", self.host])
        found = [line.partition(" ")[2] for line in answer.splitlines() if line.startswith("identityfile ")]
        return [str(path) for path in (Path(one).expanduser() for one in found) if path.is_file()]

    def ssh(self) -> list[str]:
        """Return OpenSSH's command line for this host, without the host: pinned keys, no questions, no surprises."""
        chosen = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "UpdateHostKeys": "no",
            "ConnectTimeout": str(CONNECT_TIMEOUT),
            "ServerAliveInterval": "5",
            "ServerAliveCountMax": "5",
            "PermitLocalCommand": "no",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "RequestTTY": "no",
            "LogLevel": "ERROR",
        }
        if self.identity_file:
            chosen["IdentitiesOnly"] = "yes"
        if "hostkeyalias" in self.settings:
            # Fabric knows no aliases; both look for the same name.
            chosen["HostKeyAlias"] = self.pinned_as
        if jump := self.jump():
            chosen["ProxyCommand"] = jump
        return ["ssh", *self._options(), *(part for key, value in chosen.items() for part in ("-o", f"{key}={value}"))]

    def typed(self) -> list[str]:
        """Return how a person reaches this host."""
        return ["ssh", *self._options(), self.host]

    @property
    def through(self) -> Address | None:
        """The last host before this one, where the SSH configuration names any (``ProxyJump``)."""
        hosts = self.settings.get("proxyjump", "none")
        if hosts == "none":
            return None
        last = hosts.rpartition(",")[2]
        return Address(
            _host_of(last), self.known_hosts, _port_of(last), _user_of(last), self.identity_file, self.config
        )

    def jump(self) -> str | None:
        """Return the command that reaches the host through others; None if it is direct.

        OpenSSH's own ``-J`` would ask the person's ``known_hosts`` about those in between; this asks the pinned keys.
        """
        if through := self.through:
            target = f"[{self.settings['hostname']}]:{self.settings['port']}"
            return shlex.join([*through.ssh(), "-W", target, "--", through.host])
        command = self.settings.get("proxycommand", "none")
        named = {"%h": self.settings["hostname"], "%p": self.settings["port"], "%r": self.settings.get("user", "")}
        return None if command == "none" else re.sub("%[hpr]", lambda found: shlex.quote(named[found[0]]), command)


def _host_of(jump: str) -> str:
    rest = jump.rpartition("@")[2]
    return rest.partition(":")[0] if rest.count(":") < 2 else rest.partition("]")[0].lstrip("[")


def _port_of(jump: str) -> int | None:
    rest = jump.rpartition("@")[2].rpartition("]")[2] if "]" in jump else jump.rpartition("@")[2]
    return int(rest.partition(":")[2]) if ":" in rest else None


def _user_of(jump: str) -> str | None:
    return jump.rpartition("@")[0] or None


def _quoted(path: Path) -> str:
    """Write a path as a value of an SSH option."""
    text = str(path)
    if '"' in text or "%" in text or "${" in text:
        raise RefusedError(f"{text}: OpenSSH cannot take a path with '\"', '%' or '${{': move the module elsewhere.")
    return f'"{text}"'


def _run(command: list[str]) -> str:
    return outside_programs.ask(command, limit=60).out.decode("utf-8", "replace")


class Remote:
    """One host: a Fabric connection, and an OpenSSH one, each opened when it is first used."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connection: Connection | None = None
        self._jump: outside_programs.Process | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._master: outside_programs.Process | None = None

    def connection(self) -> Connection:
        """Return the Fabric connection, opened.

        Raises:
            RefusedError: The host's key is not pinned, or is another than the one pinned.
            ToolError: The host cannot be reached, or does not let us in.
        """
        if self._connection is None:
            jump = self.address.jump()
            wire = self._wire(jump) if jump else _direct(self.address)
            self._connection = _connected(self.address, wire)
        return self._connection

    def _wire(self, command: str) -> socket.socket:
        """Start the command that reaches the host, and return the socket that leads through it."""
        ours, its = socket.socketpair()
        self._jump = outside_programs.start(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=its.fileno(),
            stdout=its.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        its.close()
        return ours

    def prepare_bulk(self) -> None:
        """Begin to open the OpenSSH connection, while the conversation goes on."""
        if self._master is None:
            self._folder = tempfile.TemporaryDirectory(prefix="dmb-")
            control = [
                "-o",
                f"ControlPath={self._folder.name}/%C",
                "-o",
                "ControlMaster=yes",
                "-o",
                "ControlPersist=no",
            ]
            # It ends with our end of its input, so that nothing is left of it when this process is killed.
            command = [*self.address.ssh(), *control, "--", self.address.host, "exec cat >/dev/null"]
            self._master = outside_programs.start(
                ["/bin/sh", "-c", '"$@"; rm -rf "$0"', self._folder.name, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )

    def bulk(self) -> list[str]:
        """Return the OpenSSH command line (without the host) that goes through the opened connection."""
        self.prepare_bulk()
        folder = Path(self._folder.name) if self._folder else Path()
        for _ in range(CONNECT_TIMEOUT * 100):
            with contextlib.suppress(FileNotFoundError):  # It goes with the connection.
                if any(folder.iterdir()):
                    break
            if self._master is not None and self._master.poll() is not None:
                said = self._master.stderr.read().decode("utf-8", "replace") if self._master.stderr else ""
                raise ToolError(f"{self.address}: OpenSSH could not connect: {said.strip()}")
            time.sleep(0.01)
        return [*self.address.ssh(), "-o", f"ControlPath={folder}/%C", "-o", "ControlMaster=no"]

    def close(self) -> None:
        """Close both connections."""
        if self._connection is not None:
            with contextlib.suppress(Exception):  # A broken connection breaks once more when it is closed.
                self._connection.close()
        _end(self._jump)
        _end(self._master)
        if self._folder is not None:
            self._folder.cleanup()
        self._connection = self._jump = self._master = self._folder = None

    def __enter__(self) -> Remote:  # noqa: PYI034 - typing.Self is younger than our oldest Python
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _direct(address: Address) -> socket.socket:
    """Connect, and have every request sent at once: Nagle's algorithm would hold a request's end for a round trip."""
    try:
        wire = socket.create_connection((address.settings["hostname"], int(address.settings["port"])), CONNECT_TIMEOUT)
    except OSError as error:
        raise ToolError(f"{address} cannot be reached: {error.strerror or error}.") from None
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return wire


def _end(process: outside_programs.Process | None) -> None:
    """End a program that carries a connection."""
    if process is None:
        return
    # Each is the leader of a group of its own, with what it started.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stderr):
        if pipe is not None:
            pipe.close()


def _connected(address: Address, wire: socket.socket) -> Connection:
    import paramiko  # half a second, which commands that speak to nobody need not wait
    from fabric import Config, Connection

    # Without a handler Python prints Paramiko's tracebacks; what failed is said by the error.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    settings = address.settings
    arguments: dict[str, Any] = {
        "banner_timeout": CONNECT_TIMEOUT,
        "auth_timeout": CONNECT_TIMEOUT,
        "look_for_keys": False,
        "allow_agent": not address.identity_file and "SSH_AUTH_SOCK" in os.environ,
        "key_filename": address.identities(),
        "sock": wire,
    }
    connection = Connection(
        settings["hostname"],
        user=settings.get("user") or getpass.getuser(),
        port=int(settings["port"]),
        connect_timeout=CONNECT_TIMEOUT,
        connect_kwargs=arguments,
        config=Config(overrides={"load_ssh_configs": False}, lazy=True),
    )
    # Fabric accepts any key and reads no file of known ones (3.2).
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    if address.known_hosts.is_file():
        connection.client.load_host_keys(str(address.known_hosts))
    try:
        connection.open()
    except (paramiko.SSHException, OSError, EOFError) as error:
        connection.close()
        wire.close()
        raise _refusal(address, error) from None
    connection.transport.set_keepalive(5)
    return connection


def _refusal(address: Address, error: Exception) -> RefusedError | ToolError:
    import paramiko

    if isinstance(error, paramiko.BadHostKeyException):
        return RefusedError(
            f"{address} shows another host key than the one pinned in {address.known_hosts}. Somebody may "
            f"stand between, or the host was installed anew: ask its administrator for the fingerprint, then see "
            f"'deploy.trust'."
        )
    if "not found in known_hosts" in str(error):
        return RefusedError(
            f"The key of {address} is not pinned: run 'deploy.trust' and compare its fingerprint. "
            f"(It is not in {address.known_hosts}.)"
        )
    if isinstance(error, paramiko.AuthenticationException) or "No authentication methods" in str(error):
        user = address.settings.get("user")
        return ToolError(f"{address} does not let {user!r} in: offer a key that is in its authorized_keys ({error}).")
    return ToolError(f"{address} cannot be reached: {error or type(error).__name__}.")


def host_keys(address: Address) -> list[str]:
    """Ask a host, and nobody else, for its keys; return lines for ``known_hosts``. Nothing is trusted by this."""
    settings = address.settings
    if address.jump():
        return _keys_behind(address)
    # A host that does not answer is 1 since OpenSSH 8.7, and 0 before.
    answer = outside_programs.ask(
        ["ssh-keyscan", "-T", str(CONNECT_TIMEOUT), "-p", settings["port"], "--", settings["hostname"]],
        answers=(0, 1),
        limit=120,
    )
    keys = sorted({tuple(line.split()[1:3]) for line in answer.text.splitlines() if line and not line.startswith("#")})
    if not keys:
        raise ToolError(f"{address} shows no host key: {answer.words or 'it does not answer'}.")
    return [f"{address.pinned_as} {kind} {key}" for kind, key in keys]


def _keys_behind(address: Address) -> list[str]:
    """Return the key that a host shows OpenSSH, reached through others (``ssh-keyscan`` cannot); nobody logs in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shown"
        changed = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(path),
            "PreferredAuthentications": "none",
            "HashKnownHosts": "no",
            "HostKeyAlias": address.pinned_as,
        }
        # The first value of an option is the one that counts.
        options = [part for key, value in changed.items() for part in ("-o", f"{key}={value}")]
        command = [address.ssh()[0], *options, *address.ssh()[1:], "--", address.host, "true"]
        # Whoever shows a key does not let us in with it: 255.
        answer = outside_programs.ask(command, answers=(0, 255), limit=120)
        lines = path.read_text().splitlines() if path.is_file() else []
    if not lines:
        raise ToolError(f"{address} shows no host key: {answer.words}. Pin the keys of the hosts before it first.")
    return [" ".join([address.pinned_as, *line.split()[1:3]]) for line in lines]


def fingerprint(line: str) -> str:
    """Return the fingerprint of a line of ``known_hosts``, as ``ssh-keygen -l`` writes it."""
    digest = hashlib.sha256(base64.b64decode(line.split()[2])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

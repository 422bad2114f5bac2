"""A host's address: how OpenSSH resolves its name, and the command line that reaches it with pinned keys only."""

from __future__ import annotations

import functools
import getpass
import os
import pwd
import re
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.settings import expanded
from dagster_module_builder.programs import outside_programs

#: Seconds until a host must have answered, unless the SSH configuration says otherwise.
CONNECT_TIMEOUT = 15
#: The most seconds between two signs of life.
ALIVE_INTERVAL = 5

#: SSH settings that decide how a host is reached and that Paramiko does not support, with their defaults.
_ONLY_OPENSSH = {
    "addressfamily": "any",
    "bindaddress": "",
    "bindinterface": "",
    "certificatefile": "",
    "identityagent": "",
    "pkcs11provider": "",
    "proxyusefdpass": "no",
}
#: Settings that would accept an unpinned key or take over the connection. Old versions of OpenSSH do not know them, so
#: they are reset only if the configuration names them.
_RESET = {
    "KnownHostsCommand": "none",
    "SessionType": "default",
    "StdinNull": "no",
    "ForkAfterAuthentication": "no",
    "RemoteCommand": "none",
}
#: A host or a user in which a shell or OpenSSH cannot see anything else.
_NAME = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*")
_USER = re.compile(r"[A-Za-z0-9_.][^\s'\"`$\\;&<>|(){}]*")


@dataclass(frozen=True)
class Address:
    """A host's address, and the keys that it may show.

    Attributes:
        host: Its name or address, or an alias in the SSH configuration.
        known_hosts: The file with its pinned keys.
        port: Its port; None for the SSH configuration's.
        user: The user; None for the SSH configuration's.
        identity_file: The private key; None for the SSH configuration's and the agent's.
        config: The SSH configuration; None for the user's own.
        jumps: The jump hosts, as ``ProxyJump`` names them; None for the SSH configuration's.
    """

    host: str
    known_hosts: Path
    port: int | None = None
    user: str | None = None
    identity_file: str | None = None
    config: str | None = None
    jumps: str | None = None

    def __str__(self) -> str:
        if not self.port:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @functools.cached_property
    def _printed(self) -> Sequence[tuple[str, str]]:
        answer = outside_programs.ask(["ssh", "-G", *self._options(), "--", self.host], limit=60)
        lines = answer.out.decode("utf-8", "replace").splitlines()
        return [(key, value) for key, _, value in (line.partition(" ") for line in lines)]

    @functools.cached_property
    def settings(self) -> Mapping[str, str]:
        """OpenSSH's settings for this address: the last value of each keyword of ``ssh -G``."""
        return dict(self._printed)

    def _options(self) -> list[str]:
        return self._own_options() + (["-J", self.jumps] if self.jumps else [])

    def _own_options(self) -> list[str]:
        options = ["-F", str(expanded(self.config))] if self.config else []
        options += ["-p", str(self.port)] if self.port else []
        options += ["-l", self.user] if self.user else []
        return options + (["-i", str(expanded(self.identity_file))] if self.identity_file else [])

    @property
    def pinned_as(self) -> str:
        """The host's name in ``known_hosts``: ``example.com``, or ``[example.com]:2222``."""
        name, port = self.settings["hostname"], int(self.settings["port"])
        return name if port == 22 else f"[{name}]:{port}"

    @property
    def user_there(self) -> str:
        """The user on the host."""
        return self.settings.get("user") or getpass.getuser()

    @property
    def connect_timeout(self) -> int:
        """Seconds until the host must have answered."""
        asked = self.settings.get("connecttimeout", "none")
        return int(asked) if asked.isdigit() and int(asked) else CONNECT_TIMEOUT

    @property
    def only_openssh(self) -> list[str]:
        """The settings that Paramiko does not support; with any of them, OpenSSH carries the conversation, too."""
        return [key for key, usual in _ONLY_OPENSSH.items() if self.settings.get(key, usual) != usual]

    def identities(self) -> list[str]:
        """Return the private keys to try, in OpenSSH's order."""
        if self.identity_file:
            named = [str(expanded(self.identity_file))]
        else:
            named = [value for key, value in self._printed if key == "identityfile"]
        return [path for path in map(self._expanded, named) if Path(path).is_file()]

    def _expanded(self, path: str) -> str:
        """Return a path with OpenSSH's tokens and variables filled in (ssh_config(5), TOKENS)."""
        home, hostname = pwd.getpwuid(os.getuid()).pw_dir, socket.gethostname()
        tokens = {
            "%%": "%", "%d": home, "%h": self.settings["hostname"], "%i": str(os.getuid()),
            "%k": self.settings.get("hostkeyalias", self.host), "%L": hostname.partition(".")[0], "%l": hostname,
            "%n": self.host, "%p": self.settings["port"], "%r": self.user_there, "%u": getpass.getuser(),
        }  # fmt: skip
        path = re.sub(r"^~(?=/)", lambda _: home, path)
        path = re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], name[0]), path)
        return re.sub("%.", lambda token: tokens.get(token[0], token[0]), path)

    def ssh(self, control: Sequence[str] = ("no", "none")) -> list[str]:
        """Return OpenSSH's command line for this host, without the host: pinned keys only, and no questions.

        Args:
            control: ``ControlMaster`` and ``ControlPath``: never the user's own, which may lead to a host with an
                unpinned key.
        """
        alive = int(self.settings.get("serveraliveinterval", 0)) or ALIVE_INTERVAL
        chosen = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": _quoted(self.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "CheckHostIP": "no",
            "NoHostAuthenticationForLocalhost": "no",
            "VerifyHostKeyDNS": "no",
            "UpdateHostKeys": "no",
            "ControlMaster": control[0],
            "ControlPath": control[1],
            "ControlPersist": "no",
            "ConnectTimeout": str(self.connect_timeout),
            "ServerAliveInterval": str(min(alive, ALIVE_INTERVAL)),
            "ServerAliveCountMax": "5",
            "PermitLocalCommand": "no",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "Tunnel": "no",
            "RequestTTY": "no",
            "LogLevel": "ERROR",
        }
        chosen |= {name: value for name, value in _RESET.items() if name.lower() in self.settings}
        if self.identity_file:
            chosen["IdentitiesOnly"] = "yes"
        if "hostkeyalias" in self.settings:
            # Fabric does not know aliases, so both look for the same name.
            chosen["HostKeyAlias"] = self.pinned_as
        if self.through:
            chosen["ProxyUseFdpass"] = "no"
        if command := self.wire():
            # OpenSSH fills tokens in here.
            chosen["ProxyCommand"] = command.replace("%", "%%")
        return [
            "ssh",
            *self._own_options(),
            *(part for key, value in chosen.items() for part in ("-o", f"{key}={value}")),
        ]

    def typed(self) -> list[str]:
        """Return the command by which a person reaches this host."""
        return ["ssh", *self._options(), self.host]

    @functools.cached_property
    def through(self) -> Address | None:
        """The last jump host before this one (``ProxyJump``); None if there is none.

        As with OpenSSH, the jump hosts named before it lead to *that* one; without any, its own configuration counts.

        Raises:
            RefusedError: A jump host is not written as ``ssh_config(5)`` says.
        """
        hosts = self.settings.get("proxyjump", "none")
        if hosts == "none":
            return None
        before, _, last = hosts.rpartition(",")
        user, host, port = parts_of(last)
        return Address(host, self.known_hosts, port, user, self.identity_file, self.config, before or None)

    @functools.cached_property
    def before(self) -> list[Address]:
        """The jump hosts, the nearest first.

        Raises:
            RefusedError: They form a circle.
        """
        chain: list[Address] = []
        last = self.through
        while last is not None:
            if last in chain:
                raise RefusedError(
                    f"{self}: its jump hosts form a circle through {last}. Set 'ProxyJump none' for {last} in the SSH "
                    f"configuration."
                )
            chain.insert(0, last)
            last = last.through
        return chain

    def wire(self) -> str | None:
        """Return the proxy command that leads to the host; None if it is reached directly.

        OpenSSH's own ``-J`` would check jump hosts by the user's ``known_hosts``; this command uses the pinned keys.

        Raises:
            RefusedError: The jump hosts form a circle, or the configured proxy command is not supported.
        """
        if self.before and (through := self.through):
            target = f"[{self.settings['hostname']}]:{self.settings['port']}"
            return shlex.join([*through.ssh(), "-W", target, "--", through.host])
        command = self.settings.get("proxycommand", "none")
        if command == "none":
            return None
        tokens = {
            "%%": "%", "%h": self.settings["hostname"], "%n": self.host, "%p": self.settings["port"],
            "%r": self.user_there,
        }  # fmt: skip
        unknown = sorted(set(re.findall("%.", command)) - set(tokens))
        if unknown or command == "-":
            what = (
                f"its token {unknown[0]} is not one of {', '.join(tokens)}" if unknown else "'-' is this program itself"
            )
            raise RefusedError(f"{self}: ProxyCommand {command!r} in the SSH configuration is not supported: {what}.")
        return re.sub("%.", lambda token: tokens[token[0]], command)


def parts_of(place: str) -> tuple[str | None, str, int | None]:
    """Return user, host and port of ``[user@]host[:port]``, whose host may be in brackets, or of an ``ssh://`` address.

    Raises:
        RefusedError: It is not written like that.
    """
    user, _, rest = place.removeprefix("ssh://").rstrip("/").rpartition("@")
    host, port = rest, ""
    if match := re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", rest):
        host, port = match[1], match[2] or ""
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    if not (_NAME.fullmatch(host) and re.fullmatch(r"\d*", port) and (not user or _USER.fullmatch(user))):
        raise RefusedError(f"The host {place!r} is not of the form [user@]host[:port]: correct it.")
    return user or None, host, int(port) if port else None


def _quoted(path: Path) -> str:
    """Return a path as the value of an SSH option."""
    text = str(path)
    if '"' in text or "%" in text or "${" in text:
        raise RefusedError(
            f"{text}: OpenSSH does not accept a path with '\"', '%' or '${{': move the module elsewhere."
        )
    return f'"{text}"'

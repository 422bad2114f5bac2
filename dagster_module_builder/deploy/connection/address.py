"""Where a host is: what OpenSSH makes of its name, and the command line that reaches it with pinned keys only."""

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

#: Seconds until a host has to have answered, where the SSH configuration names no other time.
CONNECT_TIMEOUT = 15
#: Seconds between two signs of life, at most.
ALIVE_INTERVAL = 5

#: What decides who is reached and how, and Paramiko has no counterpart of; with what it is where nobody set it.
_ONLY_OPENSSH = {
    "addressfamily": "any",
    "bindaddress": "",
    "bindinterface": "",
    "certificatefile": "",
    "identityagent": "",
    "pkcs11provider": "",
    "proxyusefdpass": "no",
}
#: Which ways to accept a key that is not pinned, or to take over a connection, OpenSSH of some age does not know:
#: they are taken back where the configuration names them.
_TAKEN_BACK = {
    "KnownHostsCommand": "none",
    "SessionType": "default",
    "StdinNull": "no",
    "ForkAfterAuthentication": "no",
    "RemoteCommand": "none",
}
#: A host or a user behind which nothing can hide that a shell or OpenSSH would take for more.
_NAME = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]*")
_USER = re.compile(r"[A-Za-z0-9_.][^\s'\"`$\\;&<>|(){}]*")


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
        jumps: The hosts that lie between, as ``ProxyJump`` names them; None takes the SSH configuration's.
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
        """What OpenSSH makes of this address: the last value of each keyword of ``ssh -G``."""
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
        """The name under which its key stands in ``known_hosts``."""
        name, port = self.settings["hostname"], int(self.settings["port"])
        return name if port == 22 else f"[{name}]:{port}"

    @property
    def user_there(self) -> str:
        """The user on the host."""
        return self.settings.get("user") or getpass.getuser()

    @property
    def connect_timeout(self) -> int:
        """Seconds until the host has to have answered."""
        asked = self.settings.get("connecttimeout", "none")
        return int(asked) if asked.isdigit() and int(asked) else CONNECT_TIMEOUT

    @property
    def only_openssh(self) -> list[str]:
        """The settings that Paramiko cannot follow, so that OpenSSH carries the conversation, too."""
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
        home, here = pwd.getpwuid(os.getuid()).pw_dir, socket.gethostname()
        tokens = {
            "%%": "%", "%d": home, "%h": self.settings["hostname"], "%i": str(os.getuid()),
            "%k": self.settings.get("hostkeyalias", self.host), "%L": here.partition(".")[0], "%l": here,
            "%n": self.host, "%p": self.settings["port"], "%r": self.user_there, "%u": getpass.getuser(),
        }  # fmt: skip
        path = re.sub(r"^~(?=/)", lambda _: home, path)
        path = re.sub(r"\$\{(\w+)\}", lambda name: os.environ.get(name[1], name[0]), path)
        return re.sub("%.", lambda token: tokens.get(token[0], token[0]), path)

    def ssh(self, control: Sequence[str] = ("no", "none")) -> list[str]:
        """Return OpenSSH's command line for this host, without the host: pinned keys, no questions, no surprises.

        Args:
            control: ``ControlMaster`` and ``ControlPath``: never the person's own, whose connection may have been
                opened to a host that shows a key that is not pinned.
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
        chosen |= {name: value for name, value in _TAKEN_BACK.items() if name.lower() in self.settings}
        if self.identity_file:
            chosen["IdentitiesOnly"] = "yes"
        if "hostkeyalias" in self.settings:
            # Fabric knows no aliases; both look for the same name.
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
        """Return how a person reaches this host."""
        return ["ssh", *self._options(), self.host]

    @functools.cached_property
    def through(self) -> Address | None:
        """The last host before this one, where the SSH configuration names any (``ProxyJump``).

        As with OpenSSH, the hosts named before it are how *that* one is reached; unless there are any, its own
        configuration says so.

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
        """The hosts that lie between, the nearest first.

        Raises:
            RefusedError: They lead in a circle.
        """
        chain: list[Address] = []
        last = self.through
        while last is not None:
            if last in chain:
                raise RefusedError(
                    f"{self}: its jump hosts lead in a circle through {last}. Give {last} 'ProxyJump none' in the SSH "
                    f"configuration."
                )
            chain.insert(0, last)
            last = last.through
        return chain

    def wire(self) -> str | None:
        """Return the command that leads to the host; None if it is reached directly.

        OpenSSH's own ``-J`` would ask the person's ``known_hosts`` about those in between; this asks the pinned keys.

        Raises:
            RefusedError: The jump hosts lead in a circle, or the proxy command cannot be followed.
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
            raise RefusedError(f"{self}: ProxyCommand {command!r} in the SSH configuration cannot be followed: {what}.")
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
        raise RefusedError(f"The host {place!r} is not written as [user@]host[:port]: correct it.")
    return user or None, host, int(port) if port else None


def _quoted(path: Path) -> str:
    """Write a path as a value of an SSH option."""
    text = str(path)
    if '"' in text or "%" in text or "${" in text:
        raise RefusedError(f"{text}: OpenSSH cannot take a path with '\"', '%' or '${{': move the module elsewhere.")
    return f'"{text}"'

"""Host keys: asked from a host, and looked up among the pinned ones. Nothing is trusted here."""

from __future__ import annotations

import base64
import hashlib
import re
import tempfile
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.deploy.connection.address import CONNECT_TIMEOUT, Address
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.programs import outside_programs


def host_keys(address: Address) -> list[str]:
    """Ask a host for its keys; return lines for ``known_hosts``. Nothing is trusted by this.

    Raises:
        RefusedError: A jump host before it is not pinned yet.
        ToolError: It shows no key.
    """
    refuse_unpinned(address.before)
    if address.wire() or address.only_openssh:
        return _keys_by_connecting(address)
    settings = address.settings
    # For a host that does not answer, the status is 1 since OpenSSH 8.7, and 0 before.
    answer = outside_programs.ask(
        ["ssh-keyscan", "-T", str(CONNECT_TIMEOUT), "-p", settings["port"], "--", settings["hostname"]],
        answers=(0, 1),
        limit=120,
    )
    keys = sorted({tuple(line.split()[1:3]) for line in answer.text.splitlines() if line and not line.startswith("#")})
    if not keys:
        raise ToolError(f"{address} shows no host key: {answer.words or 'it does not answer'}.")
    return [f"{address.pinned_as} {kind} {key}" for kind, key in keys]


def _keys_by_connecting(address: Address) -> list[str]:
    """Return the key that a host shows to ``ssh``, if ``ssh-keyscan`` cannot reach it; there is no login."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shown"
        changed = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": str(path),
            "PreferredAuthentications": "none",
            "HashKnownHosts": "no",
        }
        # The first value of an option counts.
        options = [part for key, value in changed.items() for part in ("-o", f"{key}={value}")]
        command = [address.ssh()[0], *options, *address.ssh()[1:], "--", address.host, "true"]
        # The host shows its key, and then denies the login: 255.
        answer = outside_programs.ask(command, answers=(0, 255), limit=120)
        lines = path.read_text().splitlines() if path.is_file() else []
    if not lines:
        raise ToolError(f"{address} shows no host key: {answer.words or 'it does not answer'}.")
    return [" ".join([address.pinned_as, *line.split()[1:3]]) for line in lines]


def is_pinned(address: Address) -> bool:
    """Tell whether any key is pinned for a host."""
    if not address.known_hosts.is_file():
        return False
    command = ["ssh-keygen", "-F", address.pinned_as, "-f", str(address.known_hosts)]
    return outside_programs.ask(command, answers=(0, 1)).status == 0


def refuse_unpinned(before: list[Address]) -> None:
    """Refuse jump hosts that are not pinned: OpenSSH would only report a missing banner.

    Args:
        before: The jump hosts, the nearest first.
    """
    for address in before:
        if not is_pinned(address):
            raise not_pinned(address, "jump host ")


def not_pinned(address: Address, what: str = "") -> RefusedError:
    """Return the error for a host whose key is not pinned."""
    name = typed(address.known_hosts.parent)
    return RefusedError(
        f"The key of {what}{address} is not pinned: run 'deploy.trust {name}' and compare its fingerprint. "
        f"(It is not in {address.known_hosts}.)"
    )


def key_changed(address: Address) -> RefusedError:
    """Return the error for a host that shows another key than the pinned one."""
    return RefusedError(
        f"{address} shows another host key than the one pinned in {address.known_hosts}. Either the host was "
        f"reinstalled, or another machine answers in its place: ask its administrator for the fingerprint, then run "
        f"'deploy.trust {typed(address.known_hosts.parent)}'."
    )


_KEY = re.compile(
    r"(?:@(?:cert-authority|revoked) )?[^\s@#]\S* "
    r"(?P<kind>(?:ssh|ecdsa|sk)-[\w.@-]{1,80}) (?P<key>[A-Za-z0-9+/]+={0,2})(?: .*)?"
)


def is_key(line: str) -> bool:
    """Tell whether a line of ``known_hosts`` is a key: its base64 must name the same kind as the line (sshd(8))."""
    match = _KEY.fullmatch(line)
    if match is None or not line.isprintable():
        return False
    try:
        content = base64.b64decode(match["key"], validate=True)
    except ValueError:
        return False
    return content[4:].startswith(match["kind"].encode()) and int.from_bytes(content[:4], "big") == len(match["kind"])


def fingerprint(line: str) -> str:
    """Return the fingerprint of a line of ``known_hosts``, as ``ssh-keygen -l`` prints it."""
    digest = hashlib.sha256(base64.b64decode(line.split()[2])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

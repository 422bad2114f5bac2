"""Host keys: fetched, shown, and pinned only if a person confirms them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.connection.address import Address
from dagster_module_builder.deploy.connection.host_keys import fingerprint, host_keys, is_key
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.transactions import module_files


@dataclass(frozen=True)
class ShownKeys:
    """The keys that a host shows.

    Attributes:
        host: The host.
        keys: The lines for ``known_hosts``.
        pinned: The lines that are pinned for it now.
    """

    host: Address
    keys: tuple[str, ...]
    pinned: tuple[str, ...]

    @property
    def fingerprints(self) -> dict[str, str]:
        """The fingerprint of each kind of key: ``{"ssh-ed25519": "SHA256:…"}``."""
        return {line.split()[1]: fingerprint(line) for line in self.keys}

    @property
    def is_pinned(self) -> bool:
        """Whether exactly these keys are pinned."""
        return set(self.keys) == set(self.pinned)

    @property
    def has_changed(self) -> bool:
        """Whether other keys are pinned."""
        return bool(self.pinned) and not set(self.keys) & set(self.pinned)


def shown_keys(deployment: Deployment, hosts: Sequence[str] = ()) -> list[ShownKeys]:
    """Ask every host of a deployment, and its jump hosts, for their keys; nothing is trusted by this.

    A host behind an unpinned jump host is asked only after that one is pinned.
    """
    text = "\n".join(_pinned_lines(deployment))
    every = [*deployment.hosts, *filter(None, [deployment.host_for_previews])]
    chosen = [host for host in every if not hosts or any(map(host.is_named, hosts))]
    if not chosen:
        raise RefusedError(f"{deployment.name} has no host {', '.join(hosts)}: correct --host.")
    addresses = dict.fromkeys(address for host in chosen for address in _reachable(host.address, text))
    return [ShownKeys(address, tuple(host_keys(address)), _pinned(address, text)) for address in addresses]


def _pinned(address: Address, text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.split(" ")[0] == address.pinned_as)


def _reachable(address: Address, text: str) -> list[Address]:
    """Return the jump hosts and the host itself, up to the first one that is not pinned yet."""
    chain = [*_before(address), address]
    unpinned = (number for number, address in enumerate(chain) if not _pinned(address, text))
    return chain[: next(unpinned, len(chain)) + 1]


def _before(address: Address) -> list[Address]:
    """Return the jump hosts, the nearest first."""
    through = address.through
    return [*_before(through), through] if through else []


def trust(
    deployment: Deployment,
    shown: Sequence[ShownKeys],
    confirm: Callable[[ShownKeys], bool],
    fingerprints: Sequence[str] = (),
) -> list[ShownKeys]:
    """Pin the keys that a person confirms, or whose fingerprint was given; return the pinned ones.

    Args:
        deployment: The deployment whose ``known_hosts`` is changed.
        shown: The keys that the hosts show.
        confirm: Asks a person; not called if fingerprints are given.
        fingerprints: The fingerprints from the hosts' administrators (``SHA256:…``).

    Raises:
        RefusedError: A fingerprint matches no key of any host; nothing is pinned.
    """
    wanted = {value if value.startswith("SHA256:") else f"SHA256:{value}" for value in fingerprints}
    unknown = wanted - {value for host in shown for value in host.fingerprints.values()}
    if unknown:
        raise RefusedError(
            f"No host shows a key with the fingerprint {', '.join(sorted(unknown))}: nothing was pinned."
        )
    accepted: list[ShownKeys] = []
    for host in shown:
        keys = tuple(line for line in host.keys if not wanted or fingerprint(line) in wanted)
        if keys and not host.is_pinned and (wanted or confirm(host)):
            accepted.append(ShownKeys(host.host, keys, host.pinned))
    if accepted:
        _write(deployment, accepted)
    return accepted


def _pinned_lines(deployment: Deployment) -> list[str]:
    """Return the keys and comments in ``known_hosts``."""
    text = module_files.text(deployment.module, deployment.known_hosts) or ""
    return [line for line in text.splitlines() if line.startswith("#") or is_key(line)]


def _write(deployment: Deployment, accepted: Sequence[ShownKeys]) -> None:
    gone = {host.host.pinned_as for host in accepted}
    kept = [line for line in _pinned_lines(deployment) if line.split(" ")[0] not in gone]
    after = "".join(f"{line}\n" for line in [*kept, *(key for host in accepted for key in host.keys)])
    module_files.write(deployment.module, deployment.known_hosts, after.encode())

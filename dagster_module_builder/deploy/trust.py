"""Host keys: fetched, shown, and pinned by a person's decision only."""

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
    """What a host shows of itself.

    Attributes:
        host: Which.
        keys: The lines for ``known_hosts``.
        pinned: The lines that are pinned for it now.
    """

    host: Address
    keys: tuple[str, ...]
    pinned: tuple[str, ...]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Each key's kind and fingerprint."""
        return {line.split()[1]: fingerprint(line) for line in self.keys}

    @property
    def is_pinned(self) -> bool:
        """Whether nothing is to be decided."""
        return set(self.keys) == set(self.pinned)

    @property
    def has_changed(self) -> bool:
        """Whether other keys were pinned before."""
        return bool(self.pinned) and not set(self.keys) & set(self.pinned)


def shown_keys(deployment: Deployment, hosts: Sequence[str] = ()) -> list[ShownKeys]:
    """Ask every host of a deployment, and those that lie before it, for its keys; nothing is trusted by this.

    What lies behind a host that is not pinned yet is asked when that one is.
    """
    text = "\n".join(_pinned_lines(deployment))
    chosen = [host for host in deployment.hosts if not hosts or str(host) in hosts or host.address.host in hosts]
    if not chosen:
        raise RefusedError(f"{', '.join(hosts)} is no host of {deployment.name}.")
    addresses = dict.fromkeys(address for host in chosen for address in _reachable(host.address, text))
    return [ShownKeys(address, tuple(host_keys(address)), _pinned(address, text)) for address in addresses]


def _pinned(address: Address, text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.split(" ")[0] == address.pinned_as)


def _reachable(address: Address, text: str) -> list[Address]:
    """Return the hosts that lie between and the host itself, up to the first that is not pinned yet."""
    chain = [*_before(address), address]
    unpinned = (number for number, one in enumerate(chain) if not _pinned(one, text))
    return chain[: next(unpinned, len(chain)) + 1]


def _before(address: Address) -> list[Address]:
    """Return the hosts that lie between, the nearest first."""
    through = address.through
    return [*_before(through), through] if through else []


def trust(
    deployment: Deployment,
    shown: Sequence[ShownKeys],
    confirm: Callable[[ShownKeys], bool],
    fingerprints: Sequence[str] = (),
) -> list[ShownKeys]:
    """Pin the keys that a person confirms, or whose fingerprint was given; return what was pinned.

    Args:
        deployment: Whose ``known_hosts`` it is.
        shown: What the hosts show.
        confirm: Asks a person; not called where fingerprints are given.
        fingerprints: As the hosts' administrators told them (``SHA256:…``).

    Raises:
        RefusedError: A fingerprint fits no key of any host; nothing is pinned.
    """
    wanted = {one if one.startswith("SHA256:") else f"SHA256:{one}" for one in fingerprints}
    unknown = wanted - {value for one in shown for value in one.fingerprints.values()}
    if unknown:
        raise RefusedError(
            f"No host shows a key with the fingerprint {', '.join(sorted(unknown))}: nothing was pinned."
        )
    accepted: list[ShownKeys] = []
    for one in shown:
        keys = tuple(line for line in one.keys if not wanted or fingerprint(line) in wanted)
        if keys and not one.is_pinned and (wanted or confirm(one)):
            accepted.append(ShownKeys(one.host, keys, one.pinned))
    if accepted:
        _write(deployment, accepted)
    return accepted


def _pinned_lines(deployment: Deployment) -> list[str]:
    """Return the lines of ``known_hosts`` that are keys, and the comments between them."""
    text = module_files.text(deployment.module, deployment.known_hosts) or ""
    return [line for line in text.splitlines() if line.startswith("#") or is_key(line)]


def _write(deployment: Deployment, accepted: Sequence[ShownKeys]) -> None:
    gone = {one.host.pinned_as for one in accepted}
    kept = [line for line in _pinned_lines(deployment) if line.split(" ")[0] not in gone]
    after = "".join(f"{line}\n" for line in [*kept, *(key for one in accepted for key in one.keys)])
    module_files.write(deployment.module, deployment.known_hosts, after.encode())

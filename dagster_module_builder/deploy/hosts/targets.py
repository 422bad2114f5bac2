"""The Dagsters that deployments go to: one conversation for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.model.deployment import Deployment, DeploymentHost

#: What tells targets apart (``Target.key``).
Key: TypeAlias = tuple[str, str, str | None]


@dataclass(frozen=True)
class Target:
    """One Dagster on one host, and the deployments that go there in one conversation."""

    host: DeploymentHost
    deployments: tuple[Deployment, ...]
    #: The host as each of the deployments has it, in their order.
    hosts: tuple[DeploymentHost, ...] = ()

    def __str__(self) -> str:
        return str(self.host)

    @property
    def key(self) -> tuple[str, str, str | None]:
        """What identifies it: one host may be reached as several users, and have several base paths."""
        return str(self.host), self.host.base_path, self.host.address.user

    def env_text(self, deployment: Deployment, text: bytes | None = None, *, fetch: bool = True) -> bytes:
        """Return a deployment's settings on this host.

        Args:
            deployment: The deployment.
            text: Its settings, if they differ from ``Deployment.env_text``.
            fetch: Fetch the values that commands give.
        """
        common = deployment.env_text(fetch=fetch) if text is None else text
        return deployment.env_on(self.hosts[self.deployments.index(deployment)], common, fetch=fetch)

    @property
    def modules(self) -> list[str]:
        """The names of the modules that go there."""
        return [deployment.names.name for deployment in self.deployments]

    @property
    def first(self) -> Deployment:
        """The first deployment; all of them agree on how the host's Dagster runs."""
        return self.deployments[0]


def targets_of(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[Target]:
    """Group deployments by the Dagster that they go to.

    Raises:
        RefusedError: A host that was asked for is in no deployment, or two disagree on how a Dagster runs.
    """
    groups: dict[Key, list[Deployment]] = {}
    own_hosts: dict[Key, list[DeploymentHost]] = {}
    for deployment in deployments:
        for host in deployment.hosts:
            if not hosts or any(map(host.is_named, hosts)):
                key = (str(host), host.base_path, host.address.user)
                groups.setdefault(key, []).append(deployment)
                own_hosts.setdefault(key, []).append(host)
                if own_hosts[key][0].url != host.url:
                    raise RefusedError(
                        f"{deployment.names.name} and other modules disagree on where Dagster answers on {host}: "
                        f"set the same 'url:' in each deployment.yaml."
                    )
    _refuse_unknown(deployments, hosts)
    for key, group in groups.items():
        if len({(deployment.dagster_folder, deployment.kind) for deployment in group}) > 1:
            names = " and ".join(deployment.names.name for deployment in group)
            raise RefusedError(
                f"{names} disagree on how Dagster runs on {key[0]}: see 'dagster:' in their deployment.yaml."
            )
    return [Target(own_hosts[key][0], tuple(group), tuple(own_hosts[key])) for key, group in groups.items()]


def _refuse_unknown(deployments: Sequence[Deployment], hosts: Sequence[str]) -> None:
    known_hosts = [host for deployment in deployments for host in deployment.hosts]
    for name in hosts:
        if not any(host.is_named(name) for host in known_hosts):
            known = ", ".join(sorted(map(str, known_hosts)))
            groups = ", ".join(sorted({group for host in known_hosts for group in host.groups}))
            too = f" Its groups: {groups}." if groups else ""
            raise RefusedError(f"This deployment has no host {name!r}. Its hosts: {known}.{too}")

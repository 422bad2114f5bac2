"""A workspace with one module, and the hosts that it is deployed to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.deploy.deploy import HostOutcome, Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from tests import needs
from tests.deploy import sshd
from tests.deploy.dagster_host import DagsterHost
from tests.deploy.modules import make_deployment, make_module, simplify
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.sshd import SshHost


@dataclass
class Site:
    """A workspace with one module, and the host that it is deployed to."""

    root: Path
    module: Path
    host: SshHost
    dagster: DagsterHost | QuickDagster

    @property
    def there(self) -> Path:
        """What the host holds of the module."""
        return self.host.base / "modules" / self.module.name

    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.there / "releases").iterdir())

    def current(self) -> str:
        return (self.there / "current").readlink().name

    def running(self) -> str:
        """Return the release that Dagster loads its code from."""
        where = self.dagster.locations()[self.module.name.replace("-", "_")]["working_directory"]
        return Path(where).parent.name

    def log(self) -> str:
        """Return what the host wrote down of the module."""
        return (self.there.parent / f".logs/{self.module.name}.jsonl").read_text()

    def deploy(self, **options: object) -> list[HostOutcome]:
        return deploy(find(self.root, "yoda"), Options(**{"allow_dirty": True, "settle": False, **options}))


@dataclass
class Sites:
    """A workspace with one module that goes to several hosts, whose Dagster is a stand-in."""

    sites: list[Site]

    @property
    def root(self) -> Path:
        return self.sites[0].root

    @property
    def module(self) -> Path:
        return self.sites[0].module

    def deploy(self, **options: object) -> list[HostOutcome]:
        return self.sites[0].deploy(**options)


def quick_sites(folder: Path, count: int, strategy: str = "rsync") -> Iterator[Sites]:
    needs.programs("rsync", "git")
    root = folder / "workspace"
    module = simplify(make_module(root))
    with sshd.hosts(folder / "hosts", count) as hosts:
        dagsters = [QuickDagster(host.base) for host in hosts]
        try:
            pythons = [dagster.prepare() for dagster in dagsters]
            make_deployment(module, hosts, [one.url for one in dagsters], pythons[0], strategy=strategy)
            yield Sites([Site(root, module, host, dagster) for host, dagster in zip(hosts, dagsters, strict=True)])
        finally:
            for dagster in dagsters:
                dagster.stop()

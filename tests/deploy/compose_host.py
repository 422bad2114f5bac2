"""A host whose Dagster runs in containers, started once for all tests of a module, and what is deployed to it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.deploy.deploy import HostOutcome, Options, deploy
from dagster_module_builder.deploy.model.deployment import Deployment, find
from tests import needs
from tests.deploy import sshd
from tests.deploy.inside import LOGGED, PRINTED
from tests.deploy.modules import make_deployment, make_module
from tests.deploy.old_python import OLD
from tests.deploy.sshd import SshHost
from tests.e2e.dagster_web import Dagster
from tests.e2e.engine import Engine

#: Stores what it is told by the module's settings, where all containers find it.
DEFINITIONS = f"""\
import os
from pathlib import Path

import dagster as dg

from .value import VALUE


@dg.asset(key_prefix="sales_report")
def number(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    context.log.warning({LOGGED!r})
    print({PRINTED!r})
    folder = Path(os.environ["DAGSTER_STORAGE_DIR"], "sales_report")
    folder.mkdir(exist_ok=True)
    (folder / "number").write_text(f"{{VALUE}} {{os.environ['SALES_REPORT_TOKEN']}} {{os.uname().nodename}}")
    return dg.MaterializeResult()


defs = dg.Definitions(assets=[number], executor=dg.in_process_executor)
"""


@dataclass(frozen=True)
class ComposeHost:
    """A host with an engine, and the Dagster in a folder below its base path."""

    host: SshHost
    engine: Engine
    url: str
    settings: Mapping[str, Any]
    network: str | None = None
    base: str = "~/srv"

    @property
    def dagster(self) -> Dagster:
        return Dagster(self.url)

    @property
    def folder(self) -> Path:
        """Where its compose file is."""
        return self.host.folder / self.base.removeprefix("~/") / self.settings["folder"]

    def compose(self, *arguments: str) -> str:
        return self.engine.compose(self.folder, *arguments)

    def containers(self, service: str) -> list[str]:
        """Return the containers of a service, whether the compose file has it or not."""
        (name,) = {line.split("=")[1] for line in self._labels("com.docker.compose.project")}
        labels = [f"label=com.docker.compose.{key}={value}" for key, value in (("project", name), ("service", service))]
        return self.engine.docker("ps", "--all", "--quiet", "--filter", labels[0], "--filter", labels[1]).split()

    def _labels(self, label: str) -> set[str]:
        running = self.compose("ps", "--quiet").split()
        shown = self.engine.docker("inspect", "--format", f'x={{{{index .Config.Labels "{label}"}}}}', *running)
        return set(shown.split())

    def started(self) -> dict[str, str]:
        """Return when each container of the project was started: the same as long as none is started again."""
        running = sorted(self.compose("ps", "--quiet").split())
        return {one: self.engine.docker("inspect", "--format", "{{.State.StartedAt}}", one).strip() for one in running}


@dataclass(frozen=True)
class ComposeSite:
    """A workspace with one module, and the host that it is deployed to."""

    root: Path
    module: Path
    deployment: Path
    there: ComposeHost

    @property
    def found(self) -> list[Deployment]:
        return find(self.root, self.deployment.name)

    @property
    def modules(self) -> Path:
        """What the host holds of deployed modules."""
        return self.there.host.folder / self.there.base.removeprefix("~/") / "modules"

    def deploy(self, **options: object) -> str:
        return self.outcome(**options).releases["sales-report"]

    def outcome(self, **options: object) -> HostOutcome:
        (outcome,) = deploy(self.found, Options(**{"allow_dirty": True, "settle": False, **options}))
        return outcome

    def running(self) -> str:
        """Return the release that Dagster loads its code from."""
        query = "{ workspaceOrError { ... on Workspace { locationEntries { name displayMetadata { key value } } } } }"
        entries = self.there.dagster.query(query)["workspaceOrError"]["locationEntries"]
        (entry,) = (one for one in entries if one["name"] == "sales_report")
        metadata = {one["key"]: one["value"] for one in entry["displayMetadata"]}
        return Path(metadata["working_directory"]).parent.name

    def set(self, fragment: str, **settings: str) -> None:
        """Give the module services, and settings for the host."""
        (self.module / "workspace/local/docker-compose.yml").write_text(fragment)
        with (self.deployment / ".env.deploy").open("a") as file:
            file.writelines(f"{name}='{value}'\n" for name, value in settings.items())


def make_site(root: Path, there: ComposeHost, **changes: Any) -> ComposeSite:
    """Make a workspace with one module, to be deployed to a host."""
    module = make_module(root)
    (module / "src/sales_report_dagster/definitions.py").write_text(DEFINITIONS)
    folder = make_deployment(
        module, [there.host], [there.url], "python3", base_path=there.base, network=there.network,
        dagster={"kind": "compose", "url": there.url, **there.settings}, **changes,
    )  # fmt: skip
    return ComposeSite(root, module, folder, there)


@contextlib.contextmanager
def host_with_engine(folder: Path, engine: Engine) -> Iterator[SshHost]:
    """Give a host whose commands find the engine, and whose ``python3`` is older than the newest of its Pythons."""
    needs.programs("rsync", "git")
    environ = {key: engine.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in engine.environ}
    (programs := folder / "programs").mkdir(parents=True)
    for name, text in (("python3", OLD), ("python3.30", f'#!/bin/sh\nexec {sys.executable} "$@"\n')):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environ["PATH"] = f"{programs}:{needs.program('docker').parent}:/usr/local/bin:/usr/bin:/bin"
    with sshd.hosts(folder, 1, environ) as (host,):
        yield host


def change(site: ComposeSite, **changes: Any) -> None:
    """Change the deployment's file."""
    path = site.deployment / "deployment.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))

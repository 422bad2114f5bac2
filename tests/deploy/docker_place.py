"""A module that travels as an image: its registry, and a host with a separate engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.hosts import host_run
from dagster_module_builder.deploy.model.deployment import find
from tests import needs
from tests.deploy import sshd
from tests.deploy.dagster_host import DagsterHost, lock_dagster
from tests.deploy.host_engine import HostEngine, environ_of, forget_images
from tests.deploy.modules import make_module
from tests.deploy.registry import registry
from tests.deploy.sshd import SshHost
from tests.e2e.engine import Engine

OPTIONS = Options(allow_dirty=True, settle=False)
MODULE = "sales-report"
#: Who may use the registry, with the password; another process that tests at the same time has another one.
LOGIN = ("pipeline", f"pa55-of-the-yard-{os.getpid()}")


@dataclass
class Place:
    root: Path
    module: Path
    host: SshHost
    dagster: DagsterHost
    engine: Engine
    there_runs: HostEngine
    registry: str

    @property
    def there(self) -> Path:
        return self.host.base / "modules" / MODULE

    def deploy(self) -> str:
        (outcome,) = deploy(find(self.root, "yoda"), OPTIONS)
        return outcome.releases[MODULE]

    def metadata(self) -> dict[str, str]:
        return self.dagster.locations()["sales_report"]

    def running(self) -> str:
        """Return the release that Dagster has its code from."""
        found = self.metadata()
        assert "error" not in found, found
        return Path(found["release"]).name

    def layers(self) -> list[str]:
        """Return the layers of the image that serves."""
        shown = self.there_runs.docker(
            "image", "inspect", "--format", "{{json .RootFS.Layers}}", self.metadata()["image"]
        )
        return list(json.loads(shown))

    def change(self, **changes: object) -> None:
        path = self.module / "deploy/yoda/deployment.yaml"
        data = yaml.safe_load(path.read_text())
        data["docker"] |= changes
        path.write_text(yaml.safe_dump(data))


@pytest.fixture(scope="module")
def yard(
    tmp_path_factory: pytest.TempPathFactory,
    engine_of_host: HostEngine,
    dagster_python: str,
) -> Iterator[tuple[SshHost, DagsterHost, str]]:
    folder = tmp_path_factory.mktemp("docker")
    needs.programs("docker", "docker-registry")
    environ = environ_of(engine_of_host)
    with (
        registry(folder / "registry", login=LOGIN) as address,
        sshd.hosts(folder / "hosts", environ=environ) as (host,),
    ):
        dagster = DagsterHost(host.base)
        dagster.share(1000)
        try:
            dagster.start(daemon=False)
            yield host, dagster, address
        finally:
            dagster.stop()


@pytest.fixture
def place(
    tmp_path: Path,
    yard: tuple[SshHost, DagsterHost, str],
    engine: Engine,
    engine_of_host: HostEngine,
    image_names: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:
    host, dagster, address = yard
    for key in ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_BUILDKIT"):
        if key in engine.environ:
            monkeypatch.setenv(key, engine.environ[key])
    monkeypatch.setenv("DEPLOY_REGISTRY_USER", LOGIN[0])
    monkeypatch.setenv("DEPLOY_REGISTRY_PASSWORD", LOGIN[1])
    monkeypatch.setattr(host_run, "RETIRE_AFTER", 0.5)
    root = tmp_path / "workspace"
    module = make_module(root)
    lock_dagster(module)
    answers = {
        "deployment": "yoda", "client": "Yoda", "hosts": f"{host.address}:{host.port}", "base_path": "~/srv",
        "identity_file": str(host.client_key), "user": sshd.user(), "dagster_url": dagster.url,
        "registry": address, "python_image": image_names["PYTHON_IMAGE"], "storage": str(tmp_path / "storage"),
        "dagster_home": str(dagster.home), "image": f"sales-report-{dagster.port}",
    }  # fmt: skip
    made = configure(root, module, "docker", answers)
    (made.folder / "known_hosts").write_text(host.known_hosts_line)
    env = made.folder / ".env.deploy"
    env.write_text(env.read_text().replace("TOKEN=''", "TOKEN='s3cret'"))
    (host.base / "modules").mkdir(parents=True)
    yield Place(root, module, host, dagster, engine, engine_of_host, address)
    if left := engine_of_host.docker("ps", "--all", "--quiet").split():
        engine_of_host.docker("rm", "--force", *left)
    forget_images(engine, f"sales-report-{dagster.port}")
    host.empty()
    dagster.reset()

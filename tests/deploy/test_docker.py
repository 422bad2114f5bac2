"""docker: an image by digest, and a code server of its own beside the old one; everything here is real."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.hosts import host_run
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import change_settings, roll_back
from dagster_module_builder.deploy.status import status
from tests import needs
from tests.deploy import sshd
from tests.deploy.dagster_host import DagsterHost, lock_dagster
from tests.deploy.host_engine import HostEngine, environ_of, forget_images
from tests.deploy.modules import make_module, set_value
from tests.deploy.registry import registry
from tests.deploy.sshd import SshHost
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
OPTIONS = Options(allow_dirty=True, settle=False)
MODULE = "sales-report"
#: Who may use the registry, with the password; another process that tests at the same time has another one.
LOGIN = ("pipeline", f"pa55-of-the-yard-{os.getpid()}")
#: What an asset does that begins in one release and ends when another one serves.
WAITING = """\
import pathlib, time
    storage = pathlib.Path("/tmp/dagster_storage")
    (storage / "begun").touch()
    while not (storage / "go").exists():
        time.sleep(0.1)
    from .value import VALUE
    (storage / "value").write_text(str(VALUE))
    return VALUE"""


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


def test_deploy_rollback_settings_remove(place: Place) -> None:
    before = (place.host.base / "workspace.yaml").read_bytes()
    first = place.deploy()
    assert place.running() == first
    assert "@sha256:" in place.metadata()["image"]
    (old,) = place.there_runs.containers()
    set_value(place.module, 2)
    second = place.deploy()
    assert place.running() == second != first
    (found,) = status(find(place.root, "yoda"))
    assert found["modules"][0]["location"] == "loaded"
    roll_back(find(place.root, "yoda"))
    assert place.running() == first
    assert place.metadata()["server"] != old
    env = place.module / "deploy/yoda/.env.deploy"
    env.write_text(env.read_text().replace("s3cret", "another"))
    change_settings(find(place.root, "yoda"))
    name = place.metadata()["server"]
    inside = place.there_runs.docker("exec", name, "printenv", "SALES_REPORT_TOKEN", "DAGSTER_CURRENT_IMAGE")
    assert inside.splitlines()[0] == "another"
    assert place.there_runs.docker("exec", name, "id", "-u").strip() != "0"
    remove(find(place.root, "yoda"))
    assert (place.host.base / "workspace.yaml").read_bytes() == before
    assert not place.there.exists()
    assert place.there_runs.containers() == set()


def test_what_does_not_start_or_load_leaves_the_old_one(place: Place) -> None:
    first = place.deploy()
    server = place.metadata()["server"]
    (definitions,) = place.module.glob("src/*/definitions.py")
    whole = definitions.read_text()
    definitions.write_text("import nothing_of_that_name\n")
    with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*nothing_of_that_name"):
        place.deploy()
    definitions.write_text("import os\nos._exit(0)\n")
    with pytest.raises(BuilderError, match=r"(?s)Nothing was switched.*ends the process that loads it"):
        place.deploy()
    definitions.write_text(whole)
    dockerfile = place.module / "deploy/yoda/Dockerfile"
    dockerfile.write_text(dockerfile.read_text() + 'ENTRYPOINT ["python3", "-c", "raise SystemExit(7)"]\n')
    with pytest.raises(BuilderError, match="does not start"):
        place.deploy()
    assert place.running() == first
    assert place.there_runs.containers() == {server}
    (found,) = status(find(place.root, "yoda"))
    assert found["lock"] is None
    assert found["modules"][0]["servers"] == [server]


def test_without_a_registry(place: Place) -> None:
    place.change(registry="none")
    first = place.deploy()
    assert place.running() == first
    assert place.metadata()["image"].startswith("sha256:")
    before = place.layers()
    set_value(place.module, 3)
    second = place.deploy()
    assert place.running() == second
    # A change of code makes the last layer anew, and nothing else.
    after = place.layers()
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]


def test_a_run_in_progress_keeps_its_server(place: Place, tmp_path: Path) -> None:
    (path,) = place.module.glob("src/*/definitions.py")
    job = 'dg.define_asset_job("numbers", executor_def=dg.in_process_executor)'
    path.write_text(path.read_text().replace("return VALUE", WAITING).replace('dg.define_asset_job("numbers")', job))
    place.deploy()
    (old,) = place.there_runs.containers()
    run = place.dagster.launch("sales_report", "numbers")
    storage = tmp_path / "storage"
    place.dagster.await_run(run, "STARTED")
    await_true((storage / "begun").exists)
    set_value(place.module, 2)
    second = place.deploy()
    assert place.running() == second
    # Whatever nobody needs is stopped after half a second here.
    time.sleep(4)
    assert old in place.there_runs.containers()
    (storage / "go").touch()
    place.dagster.await_run(run, "SUCCESS")
    assert (storage / "value").read_text() == "1"
    await_true(lambda: place.there_runs.containers() == {place.metadata()["server"]})


def await_true(found: Callable[[], bool], limit: float = 180) -> None:
    until = time.monotonic() + limit
    while not found():
        assert time.monotonic() < until
        time.sleep(0.2)

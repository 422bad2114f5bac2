"""An image that ran on one deployment's host gets to another one's by its digest; one that cannot be built, nowhere."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.host_engine import HostEngine, host_engine
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.quick_dagster import QuickDagster
from tests.deploy.quick_images import MODULE, QuickPlace, building, host_of, quick_place
from tests.deploy.receivers import web
from tests.deploy.registry import registry
from tests.deploy.sshd import SshHost
from tests.e2e.engine import Engine

pytestmark = [pytest.mark.docker, pytest.mark.slow]
DEPLOY = ("deploy", "yoda", "--allow-dirty", "--no-settle", "--trust")


@dataclass
class Stages:
    """A module that runs on the host of ``yoda``; the host of ``leia`` has a separate engine, without its image."""

    staging: QuickPlace
    host: SshHost
    dagster: QuickDagster
    engine: HostEngine

    @property
    def current(self) -> Path:
        """The release on production's host; it is there only after a promotion."""
        return self.host.base / "modules" / MODULE / "current"

    def promote(self, *flags: str) -> Any:
        done = run(self.staging.root, "deploy.promote", "yoda", "leia", "--json", *flags)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    def refused(self) -> str:
        """Promote in vain; production stays as it is."""
        before = self.engine.containers()
        done = run(self.staging.root, "deploy.promote", "yoda", "leia")
        assert (done.returncode, self.engine.containers()) == (1, before), done
        return done.stderr


def change(place: QuickPlace, name: str, **settings: object) -> None:
    path = place.module / f"deploy/{name}/deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **settings}))


def add_production(place: QuickPlace, host: SshHost, dagster: QuickDagster) -> None:
    """Give the module a second deployment, whose Dockerfile builds nothing."""
    folder = place.module / "deploy/leia"
    shutil.copytree(place.module / "deploy/yoda", folder)
    own = yaml.safe_load((folder / "deployment.yaml").read_text())
    change(
        place, "leia", deployment="leia", hosts=[{"host": host.address, "port": host.port}],
        ssh={"identity_file": str(host.client_key)}, dagster={**own["dagster"], "url": dagster.url},
        docker={**own["docker"], "storage": str(host.folder / "storage")},
    )  # fmt: skip
    (folder / "known_hosts").write_text(host.known_hosts_line)
    (folder / "Dockerfile").write_text("FROM nothing-of-that-name\n")
    (folder / ".env.deploy").write_text("SALES_REPORT_TOKEN='of production'\n")


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, engine: Engine, engine_of_host: HostEngine) -> Iterator[Stages]:
    folder = tmp_path_factory.mktemp("promotion")
    host, place = contextlib.contextmanager(host_of), contextlib.contextmanager(quick_place)
    with (
        building(engine),
        registry(folder / "registry") as address,
        host_engine(engine) as second,
        host(folder / "staging", engine_of_host) as first_host,
        host(folder / "production", second) as second_host,
        place(folder / "workspace", first_host, engine, engine_of_host, address) as staging,
    ):
        dagster = QuickDagster(second_host.base)
        try:
            dagster.prepare()
            add_production(staging, second_host, dagster)
            yield Stages(staging, second_host, dagster, second)
        finally:
            dagster.stop()


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "RELEASE.json").read_text())
    return found


def test_the_image_that_runs_is_promoted_with_the_other_settings(stages: Stages) -> None:
    """By its digest, whatever the module's folder and production's Dockerfile have become; nothing is built."""
    staging = stages.staging
    assert "has no release yet there" in stages.refused()
    first = staging.deploy()
    set_value(staging.module, 666)
    (planned,) = stages.promote("--dry-run")
    assert planned["modules"][MODULE]["from"] is None
    assert stages.engine.containers() == set()
    (done,) = stages.promote()
    assert done["releases"] == {MODULE: stages.current.readlink().name}
    ran, runs = record(staging.there / "releases" / first), record(stages.current)
    assert "@sha256:" in runs["image"]
    assert (runs["image"], runs["digest"]) == (ran["image"], ran["digest"])
    assert runs["promoted_from"] == f"yoda {first}"
    (server,) = stages.engine.containers()
    assert stages.engine.docker("inspect", "--format", "{{.Config.Image}}", server).strip() == runs["image"]
    shown = 'read line </opt/dagster/src/sales_report_dagster/value.py; echo "$line, $SALES_REPORT_TOKEN"'
    assert stages.engine.docker("exec", server, "sh", "-c", shown) == "VALUE = 1, of production\n"

    log = staging.host.base / f"modules/.logs/{MODULE}.jsonl"
    written = log.read_text()
    log.write_text("")
    assert "never ran there" in stages.refused()
    log.write_text(written)
    known = staging.dagster.known.copy()
    staging.dagster.known.clear()
    assert "Dagster has not loaded" in stages.refused()
    staging.dagster.known.update(known)
    staging.change(registry="none")
    staging.deploy()
    assert "is in no registry" in stages.refused()


@pytest.mark.parametrize(("step", "because"), [("build", "exit status 3"), ("push", "could not be pushed")])
def test_hooks_and_receivers_are_told_of_an_image_that_cannot_be_made(
    stages: Stages, tmp_path: Path, step: str, because: str
) -> None:
    place = stages.staging
    dockerfile = place.module / "deploy/yoda/Dockerfile"
    whole, settings = dockerfile.read_text(), (place.module / "deploy/yoda/deployment.yaml").read_text()
    before = place.there_runs.containers()
    marks = {where: tmp_path / f"marks of {where}" for where in ("here", "hosts")}
    try:
        with web() as receiver:
            hooks = [{"command": f'echo "$DEPLOY_FAILURE" >>"{path}"', "where": where} for where, path in marks.items()]
            (place.module / "deploy/yoda/.env.deploy").write_text(
                f"SALES_REPORT_TOKEN='s3cret'\nSLACK_URL='http://127.0.0.1:{receiver.port}/'\n"
            )
            change(place, "yoda", hooks={"on_failure": hooks}, notifications=[{"webhook": "SLACK_URL"}])
            if step == "build":
                dockerfile.write_text(f"{whole}RUN echo because; exit 3\n")
            else:
                place.change(registry="127.0.0.1:9")
            done = run(place.root, *DEPLOY)
            told = [each["text"] for each in receiver.got]
    finally:
        dockerfile.write_text(whole)
        (place.module / "deploy/yoda/deployment.yaml").write_text(settings)
    assert done.returncode == 1, done
    assert because in done.stderr or "because" in done.stderr, done
    assert place.there_runs.containers() == before
    # No host had begun, so that none has anything to do about it.
    assert not marks["hosts"].exists()
    said = marks["here"].read_text()
    assert f"docker {step}" in said or because in said, said
    begun, failed = told
    assert "deploy begins" in begun
    assert "deploy FAILED" in failed

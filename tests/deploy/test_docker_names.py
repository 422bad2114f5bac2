"""Odd paths, and what an image is called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from tests.deploy.host_engine import HostEngine
from tests.deploy.modules import set_value
from tests.deploy.quick_images import QuickPlace, building, host_of, quick_place
from tests.deploy.repositories import git
from tests.e2e.engine import Engine

pytestmark = pytest.mark.docker


@pytest.fixture
def place(
    tmp_path: Path,
    engine: Engine,
    engine_of_host: HostEngine,
) -> Iterator[QuickPlace]:
    with building(engine):
        for host in host_of(tmp_path / "hosts", engine_of_host):
            yield from quick_place(tmp_path / "a 'b' $(touch oops) ü", host, engine, engine_of_host, "none")


def test_blanks_and_quotes_in_paths_and_the_commit_as_the_tag(place: QuickPlace, tmp_path: Path) -> None:
    base = place.host.folder / "a 'b' \"c\" $(touch oops) ü"
    place.host.base.rename(base)
    place.dagster.base = base
    path = place.module / "deploy/yoda/deployment.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "base_path": f"~/{base.name}"}))
    git(place.root, "init", "-q")
    git(place.root, "add", "-A")
    git(place.root, "commit", "-qm", "first")
    commit = git(place.root, "rev-parse", "HEAD")
    (outcome,) = deploy(find(place.root, "yoda"), Options(settle=False))
    release = base / "modules/sales-report/releases" / outcome.releases["sales-report"]
    record = json.loads((release / "RELEASE.json").read_text())
    assert record["tag"].endswith(f":{commit}")
    labels = place.there_runs.docker("image", "inspect", "--format", "{{json .Config.Labels}}", record["image"])
    assert json.loads(labels)["org.opencontainers.image.revision"] == commit
    set_value(place.module, 5)
    with pytest.raises(RefusedError, match="not committed"):
        deploy(find(place.root, "yoda"), Options(settle=False))
    (outcome,) = deploy(find(place.root, "yoda"), Options(settle=False, allow_dirty=True))
    record = json.loads((release.parent / outcome.releases["sales-report"] / "RELEASE.json").read_text())
    assert f":{commit[:12]}-dirty-" in record["tag"]
    assert place.dagster.locations()["sales_report"]["release"].endswith(outcome.releases["sales-report"])
    assert not list(tmp_path.rglob("oops"))

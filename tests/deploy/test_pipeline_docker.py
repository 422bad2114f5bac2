"""A pipeline that carries out docker: its own steps build, push, deploy to a real host and roll back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.pipeline_steps import Github
from tests.deploy.test_docker import Place, engine, image_names, place, yard  # noqa: F401 - fixtures
from tests.deploy.test_pipeline_steps import QUICK, SECRET, as_pipeline, wheels  # noqa: F401 - fixtures
from tests.deploy.test_strategies import git

pytestmark = [pytest.mark.docker, pytest.mark.slow]


def test_github(place: Place, wheels: Path, tmp_path: Path) -> None:  # noqa: F811 - fixtures
    first = place.deploy()
    git(place.root, "init", "-q", "-b", "main")
    as_pipeline(place.module, wheels, platform="github", trigger="push", tests=QUICK)
    git(place.root, "add", "-A")
    git(place.root, "commit", "-qm", "a pipeline, and another value")
    known = {key: place.engine.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG") if key in place.engine.environ}
    settings = (place.module / "deploy/yoda/.env.deploy").read_text()
    hub = Github(tmp_path / "runner", place.root, wheels, place.host.client_key.read_text(), settings, machine=known)
    hub.folder.mkdir()
    done = hub.run("refs/heads/main")
    assert [(one.job, one.code) for one in done] == [("test", 0), ("deploy", 0)], done
    assert place.running().endswith(git(place.root, "rev-parse", "HEAD")[:8])
    assert place.registry in place.metadata()["image"]
    (back,) = hub.run("refs/heads/main", "workflow_dispatch", action="rollback")
    assert back.code == 0, back.said
    assert place.running() == first
    assert SECRET not in "".join(one.said for one in [*done, back])
    assert hub.leftovers() == []

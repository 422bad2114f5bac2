"""A module gets to a host and runs there, or everything stays as it was."""

from __future__ import annotations

import json

import pytest

from dagster_module_builder.errors import BuilderError
from tests.deploy.conftest import Site
from tests.deploy.modules import set_value


def test_first_and_second_release(site: Site) -> None:
    (first,) = site.deploy()
    assert site.running() == first.releases["sales-report"] == site.current()
    set_value(site.module, 2)
    (second,) = site.deploy()
    assert site.running() == second.releases["sales-report"] == site.current()
    assert site.releases() == sorted([first.releases["sales-report"], second.releases["sales-report"]])
    unchanged = [site.there / "releases" / one / "pyproject.toml" for one in site.releases()]
    assert unchanged[0].stat().st_ino == unchanged[1].stat().st_ino
    state = json.loads((site.there / "state.json").read_text())
    assert state["previous"] == first.releases["sales-report"]
    assert not (site.host.base / "modules/.journal").exists()


def test_broken_release_leaves_the_old_one(site: Site) -> None:
    (first,) = site.deploy()
    before = (site.host.base / "workspace.yaml").read_bytes()
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(BuilderError, match="nothing_of_that_name"):
        site.deploy()
    assert site.running() == first.releases["sales-report"]
    assert (site.host.base / "workspace.yaml").read_bytes() == before
    assert site.releases() == [first.releases["sales-report"]]

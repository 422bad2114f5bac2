"""What fails behind the second barrier turns no good deployment into a failed one: it is told, host by host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import change_settings, roll_back
from dagster_module_builder.deploy.rollout import HostOutcome, RolloutOptions
from dagster_module_builder.deploy.status import status
from tests import needs
from tests.deploy import spread
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.sites import Site, Sites, quick_sites


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Sites]:
    yield from quick_sites(tmp_path, 2)


def losing(lost: Site, at: str = "keep") -> Callable[[str, str], None]:
    """Return a listener that cuts the connections to one host when it is in a step."""
    name = f"{lost.host.address}:{lost.host.port}"

    def listen(host: str, step: str) -> None:
        if (host, step) == (name, at):
            lost.host.cut()

    return listen


def set_daemon(site: Site | Sites, command: str) -> None:
    path = site.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["dagster"]["restart_daemon"] = command
    path.write_text(yaml.safe_dump(data))


def deployed(sites: Sites, listen: Callable[[str, str], None]) -> list[HostOutcome]:
    set_value(sites.module, 3)
    return deploy(find(sites.root, "yoda"), Options(allow_dirty=True, settle=False), listen)


def rolled_back(sites: Sites, listen: Callable[[str, str], None]) -> list[HostOutcome]:
    return roll_back(find(sites.root, "yoda"), options=RolloutOptions(progress=listen))


def removed(sites: Sites, listen: Callable[[str, str], None]) -> list[HostOutcome]:
    return remove(find(sites.root, "yoda"), RolloutOptions(progress=listen))


def releases(found: Mapping[str, object]) -> dict[str, str]:
    modules = found["modules"]
    assert isinstance(modules, list)
    return {one["module"]: one["release"] for one in modules if one["release"]}


@pytest.mark.parametrize("change", [deployed, rolled_back, removed])
def test_a_host_that_is_lost_while_the_change_is_kept_is_named_with_its_release(
    two: Sites, change: Callable[[Sites, Callable[[str, str], None]], list[HostOutcome]]
) -> None:
    """FAULTS B4: the others have the change; status says the same of each."""
    two.deploy()
    set_value(two.module, 2)
    old = two.deploy()[0].releases
    good, lost = two.sites
    stays, gone = change(two, losing(lost))
    assert (stays.stands, gone.stands) == (True, False)
    assert stays.problems == ()
    assert gone.releases == old != stays.releases
    assert f"has the old release, which was restored: sales-report {old['sales-report']}" in gone.problems[0]
    assert [releases(found) for found in status(find(two.root, "yoda"))] == [dict(stays.releases), old]
    assert lost.running() == old["sales-report"]
    assert good.running() == stays.releases["sales-report"] if stays.releases else not good.dagster.locations()


def test_a_host_whose_last_answer_is_lost_has_the_change(two: Sites) -> None:
    """FAULTS B4: it went on by itself; it is asked before anything is said of it."""
    two.deploy()
    lost = two.sites[1]

    def on_request(query: str) -> None:
        if "runsOrError" in query and not (lost.host.base / "modules/.journal").exists():
            lost.host.cut()

    lost.dagster.on_request = on_request
    _, outcome = deployed(two, lambda *_: None)
    assert outcome.stands
    assert "The change stands on" in outcome.problems[0]
    assert outcome.releases == {"sales-report": lost.running()}


@pytest.mark.parametrize("change", [lambda site: site.deploy(), lambda site: change_settings(find(site.root, "yoda"))])
def test_a_daemon_that_cannot_be_restarted_is_told_and_the_release_stands(
    quick: Site, change: Callable[[Site], list[HostOutcome]]
) -> None:
    """FAULTS B4."""
    quick.deploy()
    set_value(quick.module, 2)
    set_daemon(quick, "echo no such unit; exit 5")
    (outcome,) = change(quick)
    assert outcome.stands
    assert "no such unit" in outcome.problems[0]
    assert quick.running() == quick.current() == outcome.releases["sales-report"]
    assert not (quick.host.base / "modules/.journal").exists()


def test_a_release_that_cannot_be_removed_is_told_and_the_new_one_stands(quick: Site) -> None:
    """FAULTS B4: what is too old is a mount point, which nothing can rename or remove."""
    needs.root()
    oldest = quick.deploy()[0].releases["sales-report"]
    for value in (2, 3):
        set_value(quick.module, value)
        quick.deploy(keep=9)
    folder = quick.there / "releases" / oldest
    spread.mount("-t", "tmpfs", "tmpfs", folder)
    try:
        set_value(quick.module, 4)
        (outcome,) = quick.deploy(keep=2)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    assert outcome.stands
    assert oldest in outcome.problems[0]
    assert quick.running() == outcome.releases["sales-report"]


def test_a_change_with_a_problem_behind_it_ends_with_3(quick: Site) -> None:
    """FAULTS B4: with --json, too."""
    set_daemon(quick, "exit 5")
    said = run(quick.root, "deploy", "yoda", "--allow-dirty", "--no-settle", "--json")
    assert said.returncode == 3, said
    (outcome,) = json.loads(said.stdout)
    assert outcome["stands"] is True
    assert "'exit 5' failed" in outcome["problems"][0]
    assert outcome["releases"] == {"sales-report": quick.running()}
    said = run(quick.root, "deploy.env", "yoda")
    assert said.returncode == 3, said
    assert "has new settings for sales-report" in said.stdout
    said = run(quick.root, "deploy.remove", "yoda", "--module", "sales-report", "--yes", "--json")
    assert said.returncode == 3, said
    (outcome,) = json.loads(said.stdout)
    assert (outcome["stands"], outcome["releases"], len(outcome["problems"])) == (True, {}, 1)
    assert not quick.there.exists()

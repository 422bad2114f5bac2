"""Groups of hosts, and a release that goes to a few hosts first: the others follow if these are well."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, DamagedFileError, RefusedError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.in_turns import deploy_in_turns
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.preview import preview
from dagster_module_builder.deploy.rollback import change_settings
from dagster_module_builder.deploy.rollout import HostOutcome
from dagster_module_builder.deploy.status import log
from dagster_module_builder.deploy.trust import shown_keys
from dagster_module_builder.shared_files.formats import env_file
from tests.deploy.cut_off import change
from tests.deploy.program import run
from tests.deploy.sites import Site, Sites, quick_sites


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Sites]:
    """Give three hosts; the last two are the group ``rest``, the first one the group ``canary``."""
    for sites in quick_sites(tmp_path, 3):
        path = sites.module / "deploy/yoda/deployment.yaml"
        hosts = yaml.safe_load(path.read_text())["hosts"]
        for host, group in zip(hosts, ["canary", "rest", "rest"], strict=True):
            host["groups"] = [group]
        change(sites.sites[0], hosts=hosts)
        yield sites


def turns(sites: Sites, **options: object) -> list[HostOutcome]:
    steps: list[tuple[str, str]] = []
    asked = Options(**{"allow_dirty": True, "settle": False, **options})  # type: ignore[arg-type]
    return deploy_in_turns(find(sites.root, "yoda"), asked, lambda host, step: steps.append((host, step)))


def deployed(sites: Sites) -> list[bool]:
    return [(site.there / "current").exists() for site in sites.sites]


def test_a_group_is_chosen_like_a_host(three: Sites) -> None:
    outcomes = deploy(find(three.root, "yoda"), Options(["rest"], allow_dirty=True, settle=False))
    assert [outcome.stands for outcome in outcomes] == [True, True]
    assert deployed(three) == [False, True, True]
    with pytest.raises(RefusedError, match=r"no host 'east'.*Its groups: canary, rest"):
        deploy(find(three.root, "yoda"), Options(["east"], allow_dirty=True))


def test_limit_is_another_word_for_host(three: Sites) -> None:
    """As Ansible calls it; for runs it is their number."""
    done = run(three.root, "deploy", "yoda", "--allow-dirty", "--no-settle", "--limit", "canary")
    assert (done.returncode, deployed(three)) == (0, [True, False, False]), done.stderr
    said = run(three.root, "deploy.status", "yoda", "--limit", three.sites[0].host.address, "--host", "rest", "--json")
    assert len(json.loads(said.stdout)) == 3
    assert run(three.root, "deploy.runs", "yoda", "--limit", "1", "--host", "east").returncode == 1
    (deployment,) = find(three.root, "yoda")
    assert [str(each.host) for each in shown_keys(deployment, ["rest"])] == [str(host) for host in deployment.hosts[1:]]


def test_a_host_has_its_own_values(three: Sites) -> None:
    """A secret is in the file that only its owner can read, and no other host gets it, nor the variable it is from."""
    canary, *rest = three.sites
    path = three.module / "deploy/yoda/deployment.yaml"
    hosts = yaml.safe_load(path.read_text())["hosts"]
    hosts[0]["variables"] = {"SALES_REPORT_TOKEN": {"from": "TOKEN_OF_CANARY"}, "REGION": "it's"}
    change(canary, hosts=hosts)
    env = three.module / "deploy/yoda/.env.deploy"
    env.write_text("SALES_REPORT_TOKEN='t0ken of all'\nREGION=eu\n")
    with pytest.raises(RefusedError, match="TOKEN_OF_CANARY has no value"):
        three.deploy()
    env.write_text(env.read_text() + "TOKEN_OF_CANARY='t0ken of canary'\n")
    seen = {
        result["host"]: result["modules"]["sales-report"]
        for result in preview(find(three.root, "yoda"), allow_dirty=True)
    }
    assert {tuple(each["settings"]["added"]) for each in seen.values()} == {("REGION", "SALES_REPORT_TOKEN")}
    three.deploy()

    def values(site: Site) -> dict[str, str]:
        (file,) = (site.there / "env").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        return dict(env_file.values(file.read_bytes()))

    assert values(canary) == {"SALES_REPORT_TOKEN": "t0ken of canary", "REGION": "it's"}
    assert [values(site) for site in rest] == [{"SALES_REPORT_TOKEN": "t0ken of all", "REGION": "eu"}] * 2
    hosts[0]["variables"]["REGION"] = "moon"
    change(canary, hosts=hosts)
    change_settings(find(three.root, "yoda"))
    assert [values(site)["REGION"] for site in three.sites] == ["moon", "eu", "eu"]
    hosts[0]["variables"] = {"REGION": 7}
    change(canary, hosts=hosts)
    with pytest.raises(DamagedFileError, match="in quotes if it is a number"):
        find(three.root, "yoda")


def test_the_others_get_the_same_release_after_the_first(three: Sites) -> None:
    mark = three.root / "order"
    change(three.sites[0], hooks={"after_switch": [{"command": f"echo $DEPLOY_HOST >> {mark}"}]})
    outcomes = turns(three, first=["canary"], first_wait=1)
    assert all(outcome.stands for outcome in outcomes)
    assert len({outcome.releases["sales-report"] for outcome in outcomes}) == 1
    assert deployed(three) == [True, True, True]
    assert mark.read_text().split()[0] == outcomes[0].host


def test_a_first_host_that_fails_leaves_the_others_untouched(three: Sites) -> None:
    change(three.sites[0], hooks={"after_switch": [{"command": "exit 1", "on_failure": "rollback"}]})
    before = [site.host.connections() for site in three.sites[1:]]
    with pytest.raises(BuilderError, match="Rolled back"):
        turns(three, first=["canary"])
    assert deployed(three) == [False, False, False]
    assert [site.host.connections() for site in three.sites[1:]] == before


def test_a_first_host_with_problems_leaves_the_others_untouched(three: Sites) -> None:
    change(three.sites[0], hooks={"after_switch": [{"command": "exit 1"}]})
    first, *rest = turns(three, first=[three.sites[0].host.address])
    assert first.stands
    assert [outcome.stands for outcome in rest] == [False, False]
    said = "This host was left as it was. The release has problems"
    assert all(outcome.problems[0].startswith(said) for outcome in rest)
    assert deployed(three) == [True, False, False]
    done = run(three.root, "deploy", "yoda", "--allow-dirty", "--no-settle", "--first", "canary")
    assert done.returncode == 3
    assert "This host was left as it was" in done.stdout + done.stderr


def test_a_first_host_that_breaks_during_the_wait_leaves_the_others_untouched(three: Sites) -> None:
    canary = three.sites[0]

    def listen(_: str, step: str) -> None:
        if step.startswith("waiting"):
            canary.dagster.known["sales_report"]["error"] = "it broke"  # type: ignore[union-attr]

    options = Options(allow_dirty=True, settle=False, first=["canary"], first_wait=1)
    _, *rest = deploy_in_turns(find(three.root, "yoda"), options, listen)
    assert all("does not have the release loaded any more" in outcome.problems[0] for outcome in rest)
    assert deployed(three) == [True, False, False]


def test_others_that_fail_say_where_the_release_stands(three: Sites) -> None:
    canary, *_, last = three.sites
    line = f'case "$PWD" in {last.host.base}/*) exit 4;; esac'
    change(canary, hooks={"before_switch": [{"command": line}]})
    with pytest.raises(BuilderError, match=f"The release stands on {canary.host.address}.*, which went first"):
        turns(three, first=["canary"])
    assert deployed(three) == [True, False, False]


@pytest.mark.parametrize(("first", "words"), [("east", "no such host or group"), ("all", "no other host")])
def test_first_hosts_that_make_no_sense_are_refused(three: Sites, first: str, words: str) -> None:
    names = [site.host.address for site in three.sites] if first == "all" else [first]
    with pytest.raises(RefusedError, match=words):
        turns(three, first=names)


def test_every_host_s_log_has_the_whole_change(three: Sites) -> None:
    """Who, which hosts, how it ended, and the reason in full; also where nothing was wrong."""
    last = three.sites[-1]
    reason = "x" * 3000
    line = f'case "$PWD" in {last.host.base}/*) head -c 3000 /dev/zero | tr "\\\\0" x; exit 4;; esac'
    deploy(find(three.root, "yoda"), Options(allow_dirty=True, settle=False))
    change(three.sites[0], hooks={"before_switch": [{"command": line}]})
    with pytest.raises(BuilderError):
        deploy(find(three.root, "yoda"), Options(allow_dirty=True, settle=False))
    kept = ("who", "action", "hosts", "result", "reason", "step")
    entries = [result["modules"]["sales-report"] for result in log(find(three.root, "yoda"))]
    good, bad = ([{key: each[-which].get(key) for key in kept} for each in entries] for which in (2, 1))
    assert good == [good[0]] * 3
    assert bad == [bad[0]] * 3
    assert good[0]["hosts"] == bad[0]["hosts"] == [f"{site.host.address}:{site.host.port}" for site in three.sites]
    assert (good[0]["result"], bad[0]["result"]) == ("good", "bad")
    assert reason in str(bad[0]["reason"])

"""Hooks of a deployment: each point, here and on hosts, with success, failure, a limit and a client that is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import BuilderError, DamagedFileError, RefusedError
from dagster_module_builder.deploy.deploy import deploy
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.preview import preview
from dagster_module_builder.deploy.rollback import roll_back
from dagster_module_builder.deploy.status import log
from tests import needs
from tests.deploy.cut_off import OPTIONS, Served, await_free, change, served
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.sites import Site, Sites, quick_sites
from tests.ports import free_port
from tests.template import database_servers

__all__ = ["served"]

BEFORE = [f"{when}_{what}" for what in ("build", "transfer", "verify") for when in ("before", "after")]
DEPLOYING = [*BEFORE, "before_switch", "after_switch"]
PLACES = ["hosts", "here"]
MODULE = "sales-report"


def hook(site: Site, **points: Any) -> None:
    """Give the deployment hooks; one hook of a point may stand alone."""
    change(site, hooks={point: entry if isinstance(entry, list) else [entry] for point, entry in points.items()})


def noting(path: Path, *more: str) -> str:
    """Return a command that notes that it ran, and its facts."""
    facts = " ".join(f'"${name}"' for name in more)
    return f"echo $DEPLOY_HOOK {facts} >> {shlex.quote(str(path))}"


def said(site: Site) -> list[dict[str, Any]]:
    """Return what the last operation's log says of its hooks."""
    (result,) = log(find(site.root, "yoda"))
    entries = result["modules"][MODULE]
    return list(entries[-1].get("hooks", []))


def test_hooks_run_at_every_point_in_their_order(quick: Site, tmp_path: Path) -> None:
    marks = {where: tmp_path / f"marks of {where}" for where in PLACES}
    every = {
        point: [{"command": noting(marks[where]), "where": where} for where in PLACES]
        for point in [*DEPLOYING, "before_rollback", "after_rollback", "on_failure"]
    }
    hook(quick, **every)
    (outcome,) = quick.deploy()
    assert not outcome.problems
    for where in PLACES:
        assert marks[where].read_text().split() == DEPLOYING, where
    found = [(one["hook"], one["where"] == "here", one["code"]) for one in said(quick)]
    assert sorted(found) == sorted((point, here, 0) for point in DEPLOYING for here in (True, False))


def test_hooks_know_the_release_and_on_hosts_its_settings(quick: Site, tmp_path: Path) -> None:
    (first,) = quick.deploy()
    names = ["MODULE", "DEPLOYMENT", "ACTION", "RELEASE", "PREVIOUS_RELEASE", "HOST", "BASE_PATH"]
    facts = [f"DEPLOY_{name}" for name in names]
    there, here = tmp_path / "there", tmp_path / "here"
    on_host = noting(there, *facts, "DEPLOY_RELEASE_FOLDER", "PWD", "DEPLOY_PYTHON", "SALES_REPORT_TOKEN")
    hook(quick, before_switch=[{"command": on_host}, {"command": noting(here, *facts, "PWD"), "where": "here"}])
    set_value(quick.module, 2)
    (second,) = quick.deploy()
    old, new, host = first.releases[MODULE], second.releases[MODULE], second.host
    same = ["before_switch", MODULE, "yoda", "deploy", new, old, host]
    folder = quick.there / f"releases/{new}.tmp"
    python = str(quick.host.folder / "python")
    token = "s3cret-of-production"
    assert there.read_text().split() == [*same, str(quick.host.base), str(folder), str(folder), python, token]
    assert here.read_text().split() == [*same, "~/srv", str(quick.module / "deploy/yoda")]


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("point", [*BEFORE, "before_switch"])
def test_a_hook_that_fails_before_the_switch_stops_the_deployment(
    served: Served, point: str, where: str, tmp_path: Path
) -> None:
    site, release, files = served
    failed = tmp_path / "failed"
    telling = [{"command": noting(failed, "DEPLOY_FAILURE"), "where": each} for each in PLACES]
    hook(site, **{point: {"command": "echo because; exit 7", "where": where}}, on_failure=telling)
    with pytest.raises(BuilderError) as caught:
        site.deploy()
    assert "Nothing was switched" in str(caught.value)
    assert "exit status 7" in str(caught.value)
    assert "because" in str(caught.value)
    assert (site.current(), site.running()) == (release, release)
    assert {name: (site.host.base / name).read_bytes() for name in files} == files
    told = failed.read_text().count("The hook echo because; exit 7")
    is_begun = (point, where) not in {("before_build", "here"), ("after_build", "here")}
    assert told == 2 if is_begun else told == 1
    if is_begun:
        assert [(one["hook"], one["code"]) for one in said(site)] == [(point, 7), ("on_failure", 0), ("on_failure", 0)]


@pytest.mark.parametrize("where", PLACES)
def test_a_hook_that_fails_after_the_switch_warns(quick: Site, where: str) -> None:
    hook(quick, after_switch={"command": "echo oh; exit 3", "where": where})
    (outcome,) = quick.deploy()
    (problem,) = outcome.problems
    assert "exit status 3\noh\nThe change stands." in problem
    assert quick.running() == outcome.releases[MODULE]


@pytest.mark.parametrize("where", PLACES)
def test_a_hook_that_fails_after_the_switch_rolls_back_if_it_says_so(served: Served, where: str) -> None:
    site, release, files = served
    hook(site, after_switch={"command": "exit 3", "where": where, "on_failure": "rollback"})
    with pytest.raises(BuilderError, match="Rolled back on every host"):
        site.deploy()
    assert (site.current(), site.running()) == (release, release)
    assert {name: (site.host.base / name).read_bytes() for name in files} == files


def forever(child: Path) -> str:
    """Return a command that does not end, and writes down its child, which does not end, either."""
    return f"echo waiting; sleep 300 & echo $! > {child}.tmp; mv {child}.tmp {child}; wait"


def assert_killed_at_its_limit(child: Path, work: Callable[[], object]) -> None:
    started = time.monotonic()
    with pytest.raises(BuilderError, match=r"(?s)waiting\n+\(ended after 1 seconds\)"):
        work()
    assert time.monotonic() - started < 20
    assert_ended(int(child.read_text()))
    child.unlink()


@pytest.mark.parametrize("where", PLACES)
def test_a_hook_is_killed_with_its_children_at_its_limit(served: Served, tmp_path: Path, where: str) -> None:
    """At every point: what ran before runs again."""
    site, release, files = served
    child = tmp_path / "child"
    endless = {"command": forever(child), "where": where, "limit": 1}
    for point in DEPLOYING:
        hook(site, **{point: {**endless, "on_failure": "rollback"} if point == "after_switch" else endless})
        assert_killed_at_its_limit(child, site.deploy)
        assert (site.current(), site.running()) == (release, release)
    assert {name: (site.host.base / name).read_bytes() for name in files} == files
    hook(site)
    second = site.deploy()[0].releases[MODULE]
    for point, extra in (("before_rollback", {}), ("after_rollback", {"on_failure": "rollback"})):
        hook(site, **{point: {**endless, **extra}})
        assert_killed_at_its_limit(child, lambda: roll_back(find(site.root, "yoda")))
        assert (site.current(), site.running()) == (second, second)


@pytest.mark.parametrize("where", PLACES)
def test_a_hook_for_a_failure_is_killed_at_its_limit_and_the_failure_is_told(
    served: Served, tmp_path: Path, where: str
) -> None:
    site, release, _ = served
    child = tmp_path / "child"
    endless = {"command": forever(child), "where": where, "limit": 1}
    hook(site, before_switch={"command": "echo because; exit 7"}, on_failure=endless)
    with pytest.raises(BuilderError, match=r"(?s)because.*ended after 1 seconds"):
        site.deploy()
    assert_ended(int(child.read_text()))
    assert site.running() == release


def assert_ended(process: int, limit: float = 30) -> None:
    until = time.monotonic() + limit
    while Path(f"/proc/{process}/stat").exists() and " Z " not in Path(f"/proc/{process}/stat").read_text():
        assert time.monotonic() < until, "the hook still runs"
        time.sleep(0.05)


def killed_in_a_hook(work: Callable[[], object], child: Path) -> None:
    """Kill a client as soon as its hook runs; return when the hook has ended."""

    def begin() -> None:
        os.setsid()
        work()

    client = multiprocessing.get_context("fork").Process(target=begin)
    client.start()
    until = time.monotonic() + 30
    while not child.exists():
        assert time.monotonic() < until, "the hook did not begin"
        time.sleep(0.05)
    assert client.pid
    os.kill(client.pid, signal.SIGKILL)
    client.join(30)
    assert_ended(int(child.read_text()))


@pytest.mark.parametrize("point", [*DEPLOYING, "on_failure"])
def test_a_hook_ends_with_its_client(served: Served, tmp_path: Path, point: str) -> None:
    """The client is killed while a hook runs on the host; the host goes back by itself."""
    site, release, files = served
    child = tmp_path / "child"
    fails = {"before_switch": {"command": "exit 7"}} if point == "on_failure" else {}
    hook(site, **{point: {"command": forever(child)}}, **fails)
    killed_in_a_hook(lambda: deploy(find(site.root, "yoda"), OPTIONS), child)
    await_free(site)
    assert {name: (site.host.base / name).read_bytes() for name in files} == files
    assert (site.current(), site.running()) == (release, release)
    assert not list((site.host.base / "modules").glob(".hook*"))


@pytest.mark.parametrize("point", ["before_rollback", "after_rollback"])
def test_a_hook_of_a_rollback_ends_with_its_client(served: Served, tmp_path: Path, point: str) -> None:
    site, _, _ = served
    (second,) = site.deploy()
    child = tmp_path / "child"
    hook(site, **{point: {"command": forever(child)}})
    killed_in_a_hook(lambda: roll_back(find(site.root, "yoda")), child)
    await_free(site)
    assert site.current() == site.running() == second.releases[MODULE]


@pytest.mark.parametrize("where", PLACES)
def test_a_rollback_has_its_own_hooks(served: Served, tmp_path: Path, where: str) -> None:
    site, release, _ = served
    (second,) = site.deploy()
    marks = tmp_path / "marks"
    entry = {"command": noting(marks, "DEPLOY_ACTION", "DEPLOY_RELEASE", "DEPLOY_PREVIOUS_RELEASE"), "where": where}
    hook(site, before_rollback=entry, after_rollback=entry, before_switch={"command": "exit 1"})
    roll_back(find(site.root, "yoda"))
    told = f"rollback {release} {second.releases[MODULE]}"
    assert marks.read_text() == f"before_rollback {told}\nafter_rollback {told}\n"
    hook(site, before_rollback={"command": "exit 5", "where": where})
    with pytest.raises(BuilderError, match="exit status 5"):
        roll_back(find(site.root, "yoda"), second.releases[MODULE])
    assert site.running() == release
    hook(site, after_rollback={"command": "exit 5", "where": where, "on_failure": "rollback"})
    with pytest.raises(BuilderError, match="Rolled back"):
        roll_back(find(site.root, "yoda"), second.releases[MODULE])
    assert site.running() == release


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Sites]:
    yield from quick_sites(tmp_path, 2)


def test_a_hook_that_fails_on_one_host_leaves_every_host_as_it_was(pair: Sites) -> None:
    first, second = pair.sites
    hook(first, before_switch={"command": f'case "$PWD" in {second.host.base}/*) exit 4;; esac'})
    with pytest.raises(BuilderError, match="Nothing was switched: 1 of 2 hosts failed"):
        pair.deploy()
    assert not any((site.there / "current").exists() for site in pair.sites)


def write_file(site: Site, text: str, mode: int = 0o755) -> Path:
    path = site.module / "deploy/yoda/hooks/migrate"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("where", PLACES)
def test_a_hook_may_be_a_file_of_the_deployment(quick: Site, where: str) -> None:
    write_file(quick, "#!/bin/sh\necho ran as a file\n")
    hook(quick, before_switch={"file": "hooks/migrate", "where": where})
    quick.deploy()
    (entry,) = said(quick)
    assert (entry["name"], entry["said"]) == ("hooks/migrate", "ran as a file")
    assert not list((quick.host.base / "modules").glob(".hook*"))


def test_a_hook_file_that_cannot_run_is_refused_before_anything_begins(quick: Site) -> None:
    hook(quick, before_switch={"file": "hooks/migrate"})
    with pytest.raises(RefusedError, match="hooks/migrate is missing"):
        quick.deploy()
    write_file(quick, "#!/bin/sh\n", 0o644)
    with pytest.raises(RefusedError, match="not executable"):
        quick.deploy()
    with pytest.raises(RefusedError, match="not executable"):
        roll_back(find(quick.root, "yoda"))
    path = write_file(quick, "")
    path.unlink()
    path.symlink_to("/bin/true")
    with pytest.raises(RefusedError):
        quick.deploy()
    assert not quick.there.exists()


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"command": "true", "file": "x"}, "write either 'file:' or 'command:'"),
        ({"where": "here"}, "write either 'file:' or 'command:'"),
        ({"file": "../../x"}, "without '..'"),
        ({"command": "true", "on_failure": "rollback"}, "on_failure"),
        ({"command": "true", "limit": 0}, "write a number from 1 to 7200"),
    ],
)
def test_hooks_that_make_no_sense_are_refused(quick: Site, entry: dict[str, Any], words: str) -> None:
    hook(quick, before_switch=entry)
    with pytest.raises(DamagedFileError, match=words):
        quick.deploy()


@pytest.mark.parametrize("where", PLACES)
def test_secrets_that_a_hook_prints_are_nowhere(quick: Site, where: str, capfd: pytest.CaptureFixture[str]) -> None:
    env = quick.module / "deploy/yoda/.env.deploy"
    shown = '"$SALES_REPORT_TOKEN"' if where == "hosts" else f"$(cat {env})"
    hook(quick, before_switch={"command": f"echo token {shown}; sleep 2; exit 1", "where": where})
    steps: list[str] = []
    with pytest.raises(BuilderError) as caught:
        deploy(find(quick.root, "yoda"), OPTIONS, lambda _, step: steps.append(step))
    done = run(quick.root, "deploy", "yoda", "--allow-dirty", "--trust")
    shown = str(caught.value) + quick.log() + done.stdout + done.stderr + "".join(capfd.readouterr())
    assert "s3cret-of-production" not in shown
    assert "token" in quick.log()


def test_a_dry_run_shows_the_hooks_and_changes_of_their_files(quick: Site) -> None:
    write_file(quick, "#!/bin/sh\n")
    hook(quick, before_switch={"file": "hooks/migrate", "limit": 60}, after_switch={"command": "true", "where": "here"})
    (result,) = preview(find(quick.root, "yoda"), allow_dirty=True)
    change_ = result["modules"][MODULE]
    assert sorted(change_["hooks"]) == [
        "after_switch here: true (at most 600 s)", "before_switch on the host: hooks/migrate (at most 60 s)"
    ]  # fmt: skip
    assert change_["hook_files"] == {"added": ["hooks/migrate"], "removed": [], "changed": []}
    quick.deploy()
    write_file(quick, "#!/bin/sh\necho other\n")
    (result,) = preview(find(quick.root, "yoda"), allow_dirty=True)
    assert result["modules"][MODULE]["hook_files"] == {"added": [], "removed": [], "changed": ["hooks/migrate"]}
    done = run(quick.root, "deploy", "yoda", "--allow-dirty", "--dry-run")
    assert "hooks changed: hooks/migrate" in done.stdout
    assert "hook before_switch on the host: hooks/migrate (at most 60 s)" in done.stdout


def test_hooks_that_run_here_need_consent(quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module from elsewhere that brings a hook would run code on this machine."""
    monkeypatch.setenv("CI", "false")
    mark = tmp_path / "mark"
    hook(quick, before_build={"command": f"touch {mark}", "where": "here"})
    for task in (["deploy", "yoda", "--allow-dirty"], ["deploy.rollback", "yoda"]):
        done = run(quick.root, *task, "--quiet")
        assert done.returncode
        assert "--trust" in done.stderr
    assert not mark.exists()
    done = run(quick.root, "deploy", "yoda", "--allow-dirty", "--trust", "--no-settle")
    assert (done.returncode, mark.exists()) == (0, True), done.stderr
    mark.unlink()
    # The answer is remembered by the content: with another command, it is asked again.
    hook(quick, before_build={"command": f"touch {mark} # other", "where": "here"})
    assert run(quick.root, "deploy", "yoda", "--allow-dirty", "--quiet").returncode
    assert not mark.exists()


def test_the_log_shows_what_hooks_said(quick: Site) -> None:
    hook(quick, before_switch={"command": "echo three migrations"})
    quick.deploy()
    done = run(quick.root, "deploy.log", "yoda")
    assert "three migrations" in done.stdout + done.stderr
    (result,) = json.loads(run(quick.root, "deploy.log", "yoda", "--json").stdout)
    assert result["modules"][MODULE][-1]["hooks"][0]["said"] == "three migrations"


PAGE = Path(__file__).parents[2] / "docs/how-to/run-hooks.md"


def test_the_migrations_of_the_page_run_once_each_and_in_order(quick: Site, tmp_path: Path) -> None:
    """The hook of the documentation, on a real PostgreSQL; a migration that fails changes nothing."""
    needs.root()
    (text,) = re.findall(r"```bash\n(.*?)```", PAGE.read_text(), re.DOTALL)
    write_file(quick, text)
    hook(quick, before_switch={"file": "hooks/migrate"})
    server = {"HOST": "127.0.0.1", "PORT": str(free_port()), "NAME": "sales", "USER": "ada", "PASSWORD": "p w'd"}
    env = "".join(
        f"SALES_REPORT_DB_{name}='{value.replace(chr(39), chr(92) + chr(39))}'\n" for name, value in server.items()
    )
    (quick.module / "deploy/yoda/.env.deploy").write_text(env)
    migrations = quick.module / "migrations"
    migrations.mkdir()
    (migrations / "0001_visits.sql").write_text("CREATE TABLE visits (page text);\n")
    (migrations / "0002_first.sql").write_text("INSERT INTO visits VALUES ('home');\n")
    schema = tmp_path / "schema.sql"
    schema.touch()
    with database_servers.running("postgresql", int(server["PORT"]), server, schema):
        quick.deploy()
        assert said(quick)[0]["said"].split("\n") == ["applied 0001_visits", "applied 0002_first"]
        (migrations / "0003_wrong.sql").write_text("INSERT INTO visits VALUES ('lost');\nSELECT nothing;\n")
        with pytest.raises(BuilderError, match="nothing"):
            quick.deploy()
        (migrations / "0003_wrong.sql").write_text("INSERT INTO visits SELECT count(*)::text FROM visits;\n")
        quick.deploy()
        assert said(quick)[0]["said"] == "applied 0003_wrong"
        quick.deploy()
        assert said(quick)[0]["said"] == ""

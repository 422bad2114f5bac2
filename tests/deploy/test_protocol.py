"""What a host holds after each command."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy import check as checks
from dagster_module_builder.deploy import setup
from dagster_module_builder.deploy.check import check
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.preview import preview
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import change_settings, roll_back
from dagster_module_builder.deploy.status import log, releases, status, unlock
from tests import needs
from tests.deploy.modules import make_deployment, make_module, make_much, set_value, simplify
from tests.deploy.sites import Site
from tests.deploy.system_calls import traced
from tests.deploy.turns import wire_to


def release_of(outcomes: list) -> str:
    return outcomes[0].releases["sales-report"]


def test_deploy_and_again(quick: Site) -> None:
    first = release_of(quick.deploy())
    assert quick.running() == quick.current() == first
    set_value(quick.module, 2)
    second = release_of(quick.deploy())
    assert quick.running() == quick.current() == second
    assert quick.releases() == sorted([first, second])
    old, new = (quick.there / "releases" / one for one in (first, second))
    assert (old / "pyproject.toml").stat().st_ino == (new / "pyproject.toml").stat().st_ino
    assert "VALUE = 1" in (old / "src/sales_report_dagster/value.py").read_text()
    assert not (new / "tests").exists()
    assert not (new / "deploy").exists()
    assert not [path for path in new.rglob("*") if path.stat().st_mode & 0o222]


def test_two_connections_a_host_and_one_for_a_few_files(quick: Site) -> None:
    make_much(quick.module)
    quick.deploy()
    assert quick.host.connections() == 2
    set_value(quick.module, 2)
    quick.deploy()
    # The second one, for much, may not have been opened yet.
    assert 3 <= quick.host.connections() <= 4


def test_few_round_trips(quick: Site) -> None:
    """Nine for SSH itself and one for each step; OpenSSH's connection is made beside that."""
    with wire_to(quick.host.address, quick.host.port) as wire:
        path = quick.module / "deploy/yoda/deployment.yaml"
        data = yaml.safe_load(path.read_text())
        data["hosts"][0] |= {"host": "127.0.0.1", "port": wire.port}
        path.write_text(yaml.safe_dump(data))
        (path.parent / "known_hosts").write_text(f"[127.0.0.1]:{wire.port} {quick.host.public_key}\n")
        quick.deploy()
        set_value(quick.module, 2)
        quick.deploy()
    assert len(wire.turns) >= 2
    # One more connects. Each runs by itself, and what both ends say at once counts as turns, too.
    assert max(wire.turns) + 1 <= 20


def test_several_modules_of_one_deployment(quick: Site) -> None:
    """They go to a host together, and none of them is switched if one of them cannot be."""
    other = simplify(make_module(quick.root, "stock"))
    python = str(quick.host.folder / "python")
    make_deployment(other, [quick.host], [quick.dagster.url], python)
    before = quick.host.connections()
    (outcome,) = quick.deploy()
    assert set(outcome.releases) == {"sales-report", "stock"}
    assert set(quick.dagster.locations()) == {"sales_report", "stock"}
    assert 1 <= quick.host.connections() - before <= 2
    set_value(quick.module, 2)
    (path,) = other.glob("src/*/definitions.py")
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(BuilderError, match="nothing_of_that_name"):
        quick.deploy()
    assert quick.running() == outcome.releases["sales-report"]
    remove(find(quick.root, "yoda", ["stock"]))
    assert set(quick.dagster.locations()) == {"sales_report"}


def test_rollback_brings_back_code_and_settings(quick: Site) -> None:
    first = release_of(quick.deploy())
    set_value(quick.module, 2)
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    second = release_of(quick.deploy())
    assert "second" in (quick.host.base / ".env").read_text()
    roll_back(find(quick.root, "yoda"))
    assert quick.running() == quick.current() == first
    assert "s3cret-of-production" in (quick.host.base / ".env").read_text()
    assert "second" not in (quick.host.base / ".env").read_text()
    roll_back(find(quick.root, "yoda"), second)
    assert quick.running() == second
    with pytest.raises(BuilderError, match="Its releases"):
        roll_back(find(quick.root, "yoda"), "20200101T000000Z-00000000")


def test_no_release_before_the_first(quick: Site) -> None:
    quick.deploy()
    with pytest.raises(BuilderError, match="no release before"):
        roll_back(find(quick.root, "yoda"))


def test_new_settings_without_a_new_release(quick: Site) -> None:
    only = release_of(quick.deploy())
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='other'\n")
    change_settings(find(quick.root, "yoda"))
    assert quick.running() == only
    assert quick.releases() == [only]
    assert "other" in (quick.host.base / ".env").read_text()
    assert (quick.there / f"env/{only}.env").read_text() == "SALES_REPORT_TOKEN='other'\n"
    assert (quick.there / f"env/{only}.env").stat().st_mode & 0o777 == 0o600
    assert (quick.host.base / ".env").stat().st_mode & 0o777 == 0o600


def test_all_of_a_release_is_on_the_disk_before_it_counts(quick: Site, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    with traced(quick.host, "syncfs,rename,renameat,renameat2", log):
        release = release_of(quick.deploy())
    order = [number for number, line in enumerate(log.read_text().splitlines()) if re.search(r"syncfs.* = 0$", line)]
    counts = next(n for n, line in enumerate(log.read_text().splitlines()) if f'releases/{release}.tmp", ' in line)
    assert order
    assert order[-1] < counts


def test_settings_that_dagster_does_not_take_go_back(quick: Site) -> None:
    first = release_of(quick.deploy())
    before = (quick.host.base / ".env").read_bytes()
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    original = quick.dagster.reload

    def fails() -> None:
        original()
        if b"second" in (quick.host.base / ".env").read_bytes():
            quick.dagster.known["sales_report"]["error"] = "no such token"

    quick.dagster.reload = fails
    with pytest.raises(BuilderError, match="no such token"):
        change_settings(find(quick.root, "yoda"))
    assert (quick.host.base / ".env").read_bytes() == before
    assert quick.running() == first
    assert "error" not in quick.dagster.locations()["sales_report"]
    assert (quick.there / f"env/{first}.env").read_text() == "SALES_REPORT_TOKEN='s3cret-of-production'\n"


def test_remove_gives_back_the_files(quick: Site) -> None:
    before = (quick.host.base / "workspace.yaml").read_bytes()
    quick.deploy()
    remove(find(quick.root, "yoda"))
    assert (quick.host.base / "workspace.yaml").read_bytes() == before
    assert not (quick.host.base / ".env").exists()
    assert not quick.there.exists()
    assert quick.dagster.locations() == {}


def test_old_releases_go_but_never_current_previous_or_running(quick: Site) -> None:
    made = []
    for value in range(4):
        set_value(quick.module, value)
        made.append(release_of(quick.deploy(keep=10)))
    quick.dagster.runs = [
        {"runId": "1", "status": "STARTED", "tags": [],
         "repositoryOrigin": {"repositoryLocationName": "sales_report", "repositoryLocationMetadata": [
             {"key": "working_directory", "value": f"{quick.there}/releases/{made[0]}/src"}]}}
    ]  # fmt: skip
    set_value(quick.module, 9)
    (outcome,) = quick.deploy(keep=2)
    kept = [name for name in quick.releases() if not name.endswith(".gone")]
    assert kept == sorted([made[0], made[3], outcome.releases["sales-report"]])
    assert set(outcome.pruned) == {made[1], made[2]}
    until = time.monotonic() + 20
    while len(quick.releases()) > len(kept):
        assert time.monotonic() < until, "what was pruned is still there"
        time.sleep(0.05)
    # They shared their files with those that stay.
    assert not [path for path in quick.there.glob("releases/*/**/*") if path.stat().st_mode & 0o222]


def test_status_releases_log_and_check(quick: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = check(find(quick.root, "yoda"))
    assert found["problems"] == []
    release = release_of(quick.deploy())
    (found,) = status(find(quick.root, "yoda"))
    (module,) = found["modules"]
    assert (module["release"], module["location"]) == (release, "loaded")
    assert found["lock"] is None
    (found,) = releases(find(quick.root, "yoda"))
    assert [one["role"] for one in found["modules"]["sales-report"]] == ["current"]
    (found,) = log(find(quick.root, "yoda"))
    assert [one["result"] for one in found["modules"]["sales-report"]] == ["good"]
    (found,) = unlock(find(quick.root, "yoda"))
    assert found["held"] is None
    path = quick.module / "deploy/yoda/deployment.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("kind: host", "kind: venv"))
    monkeypatch.setattr(checks, "ENVIRONMENT", 1 << 60)
    (found,) = check(find(quick.root, "yoda"))
    assert "MiB free, but" in " ".join(found["problems"])
    path.write_text(whole)
    monkeypatch.setattr(setup, "SPARE", 1 << 60)
    assert "MiB free, but" in setup.set_up(find(quick.root, "yoda"))[0]["error"]
    quick.dagster.alive = False
    (found,) = check(find(quick.root, "yoda"))
    assert "daemon is not running" in found["problems"][0]


def test_preview_changes_nothing_and_tells_no_secret(quick: Site) -> None:
    quick.deploy()
    set_value(quick.module, 2)
    (quick.module / "deploy/yoda/.env.deploy").write_text(
        "SALES_REPORT_TOKEN='brand-new-secret'\nSALES_REPORT_MODE='x'\n"
    )
    before = {path: path.lstat().st_mtime_ns for path in quick.host.base.rglob("*")}
    (found,) = preview(find(quick.root, "yoda"), allow_dirty=True)
    assert {path: path.lstat().st_mtime_ns for path in quick.host.base.rglob("*")} == before
    change = found["modules"]["sales-report"]
    assert change["files"] == {"added": [], "removed": [], "changed": ["src/sales_report_dagster/value.py"]}
    assert change["settings"] == {"added": ["SALES_REPORT_MODE"], "removed": [], "changed": ["SALES_REPORT_TOKEN"]}
    assert "working_directory" in found["diff"]
    assert any("definitions validate -m sales_report_dagster.definitions -d" in one for one in change["commands"])
    assert change["transfer"] == []
    make_much(quick.module)
    (found,) = preview(find(quick.root, "yoda"), allow_dirty=True)
    change = found["modules"]["sales-report"]
    (transfer,) = change["transfer"]
    *_, source, target = shlex.split(transfer)
    assert transfer.startswith("rsync ")
    assert source == f"{quick.module}/"
    assert target == f"{quick.host.address}:{quick.there}/releases/{change['release']}/"
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("line", ["import nothing_of_that_name", "import os; os.environ['nothing_of_that_name']"])
def test_definitions_that_do_not_load_are_refused(quick: Site, line: str) -> None:
    first = release_of(quick.deploy())
    (path,) = quick.module.glob("src/*/definitions.py")
    path.write_text(f"{line}\n")
    before = (quick.host.base / "workspace.yaml").read_bytes()
    with pytest.raises(BuilderError, match="nothing_of_that_name"):
        quick.deploy()
    assert (quick.host.base / "workspace.yaml").read_bytes() == before
    assert quick.running() == first
    assert quick.releases() == [first]


def test_what_dagster_does_not_load_goes_back(quick: Site) -> None:
    first = release_of(quick.deploy())
    before = {name: (quick.host.base / name).read_bytes() for name in ("workspace.yaml", ".env", "modules/.registry")}
    (path,) = quick.module.glob("src/*/definitions.py")
    (path.parent / "dagster_fails").touch()
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN='second'\n")
    with pytest.raises(BuilderError, match="Dagster cannot load this one"):
        quick.deploy()
    assert quick.running() == quick.current() == first
    assert {name: (quick.host.base / name).read_bytes() for name in before} == before
    assert [one for one in quick.releases() if not one.endswith(".bad")] == [first]
    (found,) = log(find(quick.root, "yoda"))
    assert [one["result"] for one in found["modules"]["sales-report"]] == ["good", "bad"]
    assert "cannot load" in found["modules"]["sales-report"][-1]["reason"]


def test_missing_setting_is_refused_before_anything(quick: Site) -> None:
    (quick.module / "deploy/yoda/.env.deploy.example").write_text("SALES_REPORT_TOKEN='change-me'\n")
    (quick.module / "deploy/yoda/.env.deploy").write_text("SALES_REPORT_TOKEN=''\n")
    with pytest.raises(RefusedError, match="SALES_REPORT_TOKEN has no value"):
        quick.deploy()
    assert not quick.there.exists()


def test_a_secret_file_that_others_can_read_is_refused(quick: Site) -> None:
    (quick.module / "deploy/yoda/.env.deploy").chmod(0o644)
    with pytest.raises(RefusedError, match="chmod 600"):
        quick.deploy()


def test_dirty_and_unpushed_trees_are_refused(quick: Site) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=quick.module, check=True)

    git("init", "-q", "-b", "main")
    (quick.module / ".gitignore").write_text("deploy/\n__pycache__/\n")
    git("add", "-A")
    git("commit", "-qm", "first")
    release_of(quick.deploy(allow_dirty=False))
    set_value(quick.module, 5)
    with pytest.raises(RefusedError, match=r"not committed \(src/sales_report_dagster/value.py\)"):
        quick.deploy(allow_dirty=False)
    git("commit", "-qam", "second")
    (found,) = preview(find(quick.root, "yoda"), allow_dirty=True)
    (line,) = found["modules"]["sales-report"]["commits"]
    assert line.endswith("second")
    git("remote", "add", "origin", str(quick.root / "nowhere"))
    with pytest.raises(RefusedError, match="on no remote"):
        quick.deploy(allow_dirty=False)
    quick.deploy(allow_dirty=True)
    (found,) = status(find(quick.root, "yoda"))
    assert found["modules"][0]["dirty"] is False


def test_a_dagster_of_another_owner_keeps_its_own_lines(quick: Site) -> None:
    own = (
        b"# ours since 2019\r\nload_from:\r\n    # the old one\r\n    -   python_package:\r\n"
        b"            package_name: sales_report_dagster.definitions\r\n"
        b"            working_directory: '%s'\r\n            location_name: old   # stays\r\n\r\n# the end"
    ) % str(quick.module / "src").encode()
    env = b"THEIRS=1\nexport MORE='two'"
    (quick.host.base / "workspace.yaml").write_bytes(own)
    (quick.host.base / ".env").write_bytes(env)
    (quick.host.base / ".env").chmod(0o640)
    quick.deploy()
    assert set(quick.dagster.locations()) == {"old", "sales_report"}
    set_value(quick.module, 2)
    quick.deploy()
    roll_back(find(quick.root, "yoda"))
    assert (quick.host.base / ".env").stat().st_mode & 0o777 == 0o640
    remove(find(quick.root, "yoda"))
    assert (quick.host.base / "workspace.yaml").read_bytes() == own
    assert (quick.host.base / ".env").read_bytes() == env
    assert set(quick.dagster.locations()) == {"old"}


def test_location_or_variable_of_another_owner_is_not_taken(quick: Site) -> None:
    path = quick.host.base / "workspace.yaml"
    path.write_text("load_from:\n  - python_file: {relative_path: x.py, location_name: sales_report}\n")
    (quick.host.base / ".env").write_text("SALES_REPORT_TOKEN='theirs'\n")
    before = path.read_bytes()
    with pytest.raises(BuilderError, match=r"(?s)location sales_report would exist twice.*SALES_REPORT_TOKEN"):
        quick.deploy()
    assert path.read_bytes() == before
    assert (quick.host.base / ".env").read_text() == "SALES_REPORT_TOKEN='theirs'\n"


RUN = {"runId": "1", "status": "STARTED", "tags": [], "repositoryOrigin": {"repositoryLocationName": "sales_report"}}


def test_drain_waits_for_runs(quick: Site) -> None:
    first = release_of(quick.deploy())
    set_value(quick.module, 2)
    seen: list[str] = []

    def on_request(query: str) -> None:
        if "runsOrError" in query:
            seen.append(quick.running())
            quick.dagster.runs = [RUN] if len(seen) == 1 else []

    quick.dagster.on_request = on_request
    second = release_of(quick.deploy(drain=True))
    # The old release ran for as long as its run did.
    assert seen[:2] == [first, first]
    assert quick.running() == second


@pytest.mark.parametrize("busy", [False, True])
def test_daemon_is_restarted_unless_runs_would_die(quick: Site, busy: bool) -> None:
    path = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["dagster"]["restart_daemon"] = "touch restarted"
    path.write_text(yaml.safe_dump(data))
    quick.dagster.runs = [RUN] if busy else []
    (outcome,) = quick.deploy()
    assert (quick.host.base / "restarted").exists() is not busy
    assert ("was restarted" in " ".join(outcome.notes)) is not busy


def test_check_tells_of_docker_that_cannot_be_used(quick: Site) -> None:
    needs.programs("docker")
    config = quick.host.folder / "sshd_config"
    config.write_text(config.read_text().replace("SetEnv ", 'SetEnv DOCKER_HOST="unix:///nowhere" '))
    quick.host.stop()
    (quick.host.folder / "sshd.log").unlink()
    quick.host.start()
    path = quick.module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("kind: native", "kind: compose"))
    (problem, *_) = check(find(quick.root, "yoda"))[0]["problems"]
    assert "Docker cannot be used by" in problem
    assert "unix:///nowhere" in problem


def test_check_tells_of_secrets_that_others_can_read(quick: Site) -> None:
    quick.deploy()
    assert check(find(quick.root, "yoda"))[0]["problems"] == []
    (quick.host.base / ".env").chmod(0o644)
    (problem,) = check(find(quick.root, "yoda"))[0]["problems"]
    assert "chmod 600" in problem

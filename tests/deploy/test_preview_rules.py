"""What previews of branches are made of, without a host: names, settings, branches, the host's list, the comment."""

from __future__ import annotations

import io
import json
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy import branches
from dagster_module_builder.deploy.deploy import release_of
from dagster_module_builder.deploy.host_side import previews, service
from dagster_module_builder.deploy.host_side.errors import RefusedError as HostRefusedError
from dagster_module_builder.deploy.hosts import host_service
from dagster_module_builder.deploy.model.branch_preview import as_preview, name_of, place_of
from dagster_module_builder.deploy.model.deployment import Deployment, find, lacking_settings, read_deployment
from dagster_module_builder.deploy.pipelines.description import Trigger
from dagster_module_builder.deploy.pipelines.platforms import PLATFORMS
from dagster_module_builder.deploy.preview_text import failed, made
from dagster_module_builder.shared_files.formats import env_file
from tests.deploy import pipeline_conditions
from tests.deploy.described_pipelines import described
from tests.deploy.host_here import host_here
from tests.deploy.modules import make_module
from tests.deploy.pipeline_conditions import Start
from tests.deploy.program import run
from tests.deploy.repositories import git

SETTINGS = """\
SALES_REPORT_TOKEN='s3cret-of-production'
export REGION='eu'
PREVIEW_REGION=near
ZONE=a
PREVIEW_SALES_REPORT_DB_NAME='sales_{preview}'
PREVIEW_TEXT='two
lines'
"""


def written(root: Path, **preview: Any) -> Deployment:
    """Write a deployment with previews; its module is committed on ``main``."""
    module = make_module(root)
    folder = module / "deploy/yoda"
    folder.mkdir(parents=True)
    data = {
        "version": 1, "deployment": "yoda", "client": "Yoda", "module": "sales-report", "strategy": "docker",
        "docker": {"registry": "none", "image": "x"}, "hosts": ["dagster@production.example"], "user": "dagster",
        "base_path": "/srv/dagster", "dagster": {"kind": "compose", "url": "http://127.0.0.1:3000"},
        "hooks": {"before_switch": [{"command": "touch /srv/of-production"}]},
        "preview": {"host": "small.example:2222", "storage": "/mnt/production", **preview},
    }  # fmt: skip
    (folder / "deployment.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    env = folder / ".env.deploy"
    env.touch(0o600)
    env.write_text(SETTINGS)
    (root / ".gitignore").write_text(".env.deploy\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    return read_deployment(folder)


def preview_of(deployment: Deployment, branch: str = "fix") -> Deployment:
    return as_preview(deployment, place_of([deployment]), name_of("acme/sales", "yoda", branch), branch, 3105)


def test_a_preview_is_a_deployment_of_the_branch_and_of_nothing_else(tmp_path: Path) -> None:
    """Production's hosts, hooks, image and containers are not in it."""
    deployment = written(tmp_path)
    git(tmp_path, "switch", "-qc", "fix")
    (deployment.module / "src/sales_report_dagster/value.py").write_text("VALUE = 5\n")
    git(tmp_path, "commit", "-qam", "fix it")
    git(tmp_path, "switch", "-q", "main")
    preview = preview_of(deployment)
    (host,) = preview.hosts
    assert (str(host), host.address.user, host.url) == ("small.example:2222", "dagster", "http://127.0.0.1:3105")
    assert host.base_path == f"/srv/dagster/previews/{preview.preview_name}"
    assert (preview.kind, preview.strategy, preview.environment) == (
        "native",
        "git",
        {"kind": "venv", "python": "python3"},
    )
    assert preview.data["hooks"] == {}
    release = release_of(preview, allow_dirty=False)
    assert release.staged.read("src/sales_report_dagster/value.py") == b"VALUE = 5\n"
    assert release.staged.source.commit == git(tmp_path, "rev-parse", "fix")
    # The key of its host is pinned with the others'.
    assert str(deployment.host_for_previews) == "small.example:2222"


def test_settings_of_production_get_to_no_preview_unless_it_is_said(tmp_path: Path) -> None:
    deployment = written(tmp_path, shares=["ZONE", "REGION"])
    preview = preview_of(deployment)
    assert env_file.values(preview.env_text()) == {
        "REGION": "near",
        "ZONE": "a",
        "SALES_REPORT_DB_NAME": f"sales_{preview.preview_name}",
        "TEXT": "two\nlines",
    }
    assert env_file.values(deployment.env_text()) == {
        "SALES_REPORT_TOKEN": "s3cret-of-production", "REGION": "eu", "ZONE": "a",
    }  # fmt: skip
    (deployment.folder / ".env.deploy.example").write_text("SALES_REPORT_TOKEN=change-me\nZONE=a\n")
    (problem,) = lacking_settings(preview, env_file.values(preview.env_text()))
    assert "add PREVIEW_SALES_REPORT_TOKEN" in problem
    assert lacking_settings(deployment, env_file.values(deployment.env_text())) == []


def test_what_the_file_says_of_previews_is_checked(tmp_path: Path) -> None:
    deployment = written(tmp_path)
    place = place_of([deployment])
    assert (place.ports, place.keep_days, place.storage) == ((3100, 3199), 14, "/mnt/production")
    with pytest.raises(RefusedError, match="has no usable port"):
        place_of([replace(deployment, data={**deployment.data, "preview": {"host": "a", "ports": "3200-3100"}})])
    with pytest.raises(RefusedError, match="add 'preview:' with 'host:'"):
        place_of([replace(deployment, data={**deployment.data, "preview": None})])
    with pytest.raises(RefusedError, match="disagree on their previews"):
        place_of([deployment, replace(deployment, data={**deployment.data, "preview": {"host": "a"}})])
    path = deployment.folder / "deployment.yaml"
    path.write_text(path.read_text().replace("/mnt/production", "mnt"))
    refused = run(tmp_path, "deploy.preview", "--list")
    assert (refused.returncode, "write an absolute path" in refused.stderr) == (1, True), refused


def test_its_arguments_are_asked_for(tmp_path: Path) -> None:
    deployment = written(tmp_path)
    for arguments, said in (
        (("--list", "--merged"), "Pass only one of"),
        (("--remove",), "The branch is missing"),
        (("fix", "--host", "production.example"), "do not pass --host"),
    ):
        done = run(tmp_path, "deploy.preview", *arguments)
        assert (done.returncode, said in done.stderr) == (2, True), done
    missing = run(tmp_path, "deploy.preview", "nosuch", "--dry-run")
    assert (missing.returncode, "There is no branch 'nosuch'" in missing.stderr) == (1, True), missing
    path = deployment.folder / "deployment.yaml"
    path.write_text(path.read_text().partition("preview:")[0])
    none = run(tmp_path, "deploy.preview", "fix")
    assert (none.returncode, "No deployment has previews" in none.stderr) == (2, True), none


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose branches ``merged``, ``open`` and ``gone`` were pushed."""
    origin, folder = tmp_path / "acme/sales.git", tmp_path / "clone"
    origin.parent.mkdir()
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", origin], check=True)
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    git(folder, "remote", "add", "origin", str(origin))
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    for name in ("merged", "open", "gone", "here"):
        git(folder, "switch", "-qc", name, "main")
        (folder / name).write_text("")
        git(folder, "add", name)
        git(folder, "commit", "-qm", f"of {name}")
        if name != "here":
            git(folder, "push", "-q", "origin", name)
    git(folder, "switch", "-q", "main")
    git(folder, "merge", "-q", "--no-ff", "-m", "merge", "merged")
    git(folder, "push", "-q", "-u", "origin", "main")
    git(folder, "push", "-q", "origin", "--delete", "gone")
    return folder


def recorded(folder: Path, branch: str, **more: Any) -> dict[str, Any]:
    return {"branch": branch, "commit": git(folder, "rev-parse", branch), "pushed": branch != "here", **more}


def test_what_is_merged_or_gone_is_known_from_the_remote(clone: Path) -> None:
    records = [recorded(clone, name) for name in ("merged", "open", "gone", "here", "main")]
    assert [each["branch"] for each in branches.finished(clone, records)] == ["merged", "gone"]
    assert branches.identity_of(branches.repository_of(clone)) == "acme/sales"
    # A commit of the branch that is not merged yet, though an older one of it is.
    git(clone, "switch", "-q", "merged")
    git(clone, "commit", "-q", "--allow-empty", "-m", "more")
    git(clone, "push", "-q", "origin", "merged")
    assert [each["branch"] for each in branches.finished(clone, records)] == ["gone"]
    # A remote that does not answer says nothing of what is gone.
    git(clone, "remote", "set-url", "origin", str(clone / "nosuch.git"))
    with pytest.raises(Exception, match="git"):
        branches.finished(clone, records)
    git(clone, "remote", "remove", "origin")
    git(clone, "branch", "-qD", "open")
    assert {each["branch"] for each in branches.finished(clone, records)} == {"open"}


def test_what_a_branch_changes_is_compared_with_where_it_began(clone: Path) -> None:
    common, commits, files = branches.changes_of(clone, "open", "main")
    assert common == git(clone, "rev-parse", "main^1")
    assert [line.partition(": ")[2] for line in commits] == ["of open"]
    assert files == ["+ open"]
    assert branches.changes_of(clone, "open", "nosuch") == (None, [], [])


RECORD = {"branch": "fix", "repository": "acme/sales", "deployment": "yoda", "commit": None, "modules": {}}
NAME, OTHER = "0123456789", "abcdefabcd"


def test_a_port_from_which_a_connection_begins_is_none_for_a_webserver() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        begins = client.getsockname()[1]
        assert previews.free_port([begins, begins + 20], set()) > begins


def test_each_preview_has_its_own_port_and_folder(tmp_path: Path) -> None:
    host = host_here(tmp_path)
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        taken = used.getsockname()[1]
        ports = [taken, taken + 20]
        first = previews.reserve_preview(host, str(tmp_path), NAME, RECORD, ports, 14)
        second = previews.reserve_preview(host, str(tmp_path), OTHER, {**RECORD, "branch": "b"}, ports, 14)
        assert taken not in {first["port"], second["port"]}
        assert first["port"] != second["port"]
    again = previews.reserve_preview(host, str(tmp_path), NAME, RECORD, ports, 14)
    # Not complete yet: if this one fails, too, it is removed.
    assert (again["port"], again["new"]) == (first["port"], True)
    previews.note_preview(host, str(tmp_path), NAME, {})
    assert previews.reserve_preview(host, str(tmp_path), NAME, RECORD, ports, 14)["new"] is False
    with pytest.raises(HostRefusedError, match="the preview of another branch"):
        previews.reserve_preview(host, str(tmp_path), NAME, {**RECORD, "branch": "other"}, ports, 14)
    with pytest.raises(HostRefusedError, match="No port from"):
        previews.reserve_preview(host, str(tmp_path), "f" * 10, RECORD, [first["port"], first["port"]], 14)
    listed = previews.list_previews(host, str(tmp_path))["previews"]
    assert {each["name"]: (each["running"], each["expired"]) for each in listed} == {
        NAME: (False, False),
        OTHER: (False, False),
    }


def test_only_previews_are_removed(tmp_path: Path) -> None:
    """Neither another folder, nor production beside them; and an unfinished removal is completed."""
    host = host_here(tmp_path)
    folder = tmp_path / "previews" / NAME
    (tmp_path / "previews" / OTHER).mkdir(parents=True)
    (tmp_path / "previews" / OTHER / "file").touch()
    holder = {"who": "ada", "command": "test"}
    for name in ("../modules", "modules", "", "0123"):
        with pytest.raises(HostRefusedError, match="no preview's name"):
            previews.drop_preview(host, str(tmp_path), name, holder)
    assert previews.drop_preview(host, str(tmp_path), OTHER, holder) == {"removed": False}
    previews.reserve_preview(host, str(tmp_path), NAME, RECORD, [20000, 20100], 14)
    (folder / "modules").mkdir()
    (folder / "modules/deep").mkdir(0o555)
    left = tmp_path / "previews/.gone-ffffffffff"
    left.mkdir()
    previews.note_preview(host, str(tmp_path), NAME, {})
    assert previews.drop_preview(host, str(tmp_path), NAME, holder, unfinished=True) == {"removed": False}
    assert previews.drop_preview(host, str(tmp_path), NAME, holder) == {"removed": True}
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == [".lock", OTHER]
    assert (tmp_path / "previews" / OTHER / "file").exists()


def test_age_counts_from_the_last_deployment(tmp_path: Path) -> None:
    host = host_here(tmp_path)
    previews.reserve_preview(host, str(tmp_path), NAME, RECORD, [20000, 20100], 14)
    file = tmp_path / "previews" / NAME / "PREVIEW.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "expires": "2020-01-01T00:00:00Z"}))
    assert previews.list_previews(host, str(tmp_path))["previews"][0]["expired"] is True
    previews.reserve_preview(host, str(tmp_path), NAME, RECORD, [20000, 20100], 14)
    assert previews.list_previews(host, str(tmp_path))["previews"][0]["expired"] is False


def test_a_preview_has_a_small_dagster(tmp_path: Path) -> None:
    """No daemon, and so no coordinator that waits for one."""
    settings = yaml.safe_load(host_service.small_instance())
    assert settings["run_coordinator"]["class"] == "DefaultRunCoordinator"
    assert "concurrency" not in settings
    host = host_here(tmp_path)
    host.lock = io.BytesIO()
    service.write_service(host, ".", "e" * 16, 3100, "", {"DAGSTER_STORAGE_DIR": "/own"}, daemon=False)
    assert service.processes_of(host, ".") == ["webserver"]
    assert service.service_settings(host, ".")["environ"]["DAGSTER_STORAGE_DIR"] == "/own"
    service.write_service(host, ".", "e" * 16, 3100, "", {})
    assert service.processes_of(host, ".") == ["webserver", "daemon"]


def test_text_of_a_branch_is_never_read_as_markdown() -> None:
    change = {"from": "a", "commits": ["1a2b Ada: <img src=x>\x1b[31m"], "files": ["~ a.py"] * 30}
    preview: Mapping[str, Any] = {
        "address": None, "url": "http://127.0.0.1:3100", "tunnel": "ssh -N", "commit": "c" * 40, "host": "small",
        "expires": "2026-12-14T00:00:00Z", "notes": ["a note"], "changes": {"sales": change},
    }  # fmt: skip
    lines = made(preview).splitlines()
    assert "    1a2b Ada: <img src=x>[31m" in lines
    assert "    and 10 more" in lines
    assert "    ssh -N" in lines
    assert "### Preview in Dagster: https://x.example" in made({**preview, "address": "https://x.example"})
    assert failed("it\n<b>failed").splitlines()[2:] == ["    it", "    <b>failed"]


@pytest.mark.parametrize("platform", ["github", "gitlab"])
def test_a_merged_pull_request_deploys_nothing_by_itself(platform: str) -> None:
    """Previews run for pull requests of this repository alone, and nothing else of the pipeline does."""
    plain = described("three in a monorepo", "push", platform)
    with_previews = replace(plain, previews=True, trigger=Trigger("push", "trunk", "v*"))
    text, before = PLATFORMS[platform].text(with_previews, ()), PLATFORMS[platform].text(plain, ())
    assert "deploy.preview" not in before
    if platform == "github":
        values = {
            "github.event_name": "pull_request", "github.repository": "a/b", "inputs.action": None,
            "github.ref": "refs/heads/trunk", "github.event.pull_request.head.repo.full_name": "a/b",
        }  # fmt: skip
        jobs = yaml.safe_load(text)["jobs"]
        for action, other, expected in (
            ("opened", {}, {"preview"}),
            ("closed", {}, {"preview-removal"}),
            ("opened", {"github.event.pull_request.head.repo.full_name": "fork/b"}, set()),
            ("", {"github.event_name": "push"}, {"test", "deploy"}),
        ):
            known = {**values, "github.event.action": action, **other}
            assert {name for name, job in jobs.items() if pipeline_conditions.holds(job["if"], known)} == expected
    else:
        jobs = yaml.safe_load(text)
        of_preview = [name for name in jobs if "preview" in name]
        assert len(of_preview) == 2
        for name in of_preview:
            (rule,) = jobs[name]["rules"]
            assert '"merge_request_event"' in rule["if"]
            assert "$CI_MERGE_REQUEST_SOURCE_PROJECT_ID == $CI_PROJECT_ID" in rule["if"]
            assert jobs[name]["environment"]["name"] == "orders-yoda-preview/$CI_COMMIT_REF_SLUG"
        assert jobs["orders-yoda preview"]["environment"]["on_stop"] == "orders-yoda preview-removal"
        others = {name: job for name, job in jobs.items() if name not in of_preview}
        assert others == yaml.safe_load(before)


def test_previews_start_for_no_push(tmp_path: Path) -> None:
    text = PLATFORMS["gitlab"].text(replace(described("one module", "push", "gitlab"), previews=True), ())
    pushed = yaml.safe_load(text)
    without = yaml.safe_dump({name: job for name, job in pushed.items() if "preview" not in name})
    start = Start("refs/heads/trunk", ("src/a.py",))
    assert pipeline_conditions.gitlab(without, start) == {"test", "deploy", "rollback"}


def test_it_is_found_by_its_name(tmp_path: Path) -> None:
    deployment = written(tmp_path)
    assert [each.folder for each in find(tmp_path, "yoda")] == [deployment.folder]
    assert name_of("a/b", "yoda", "fix") == name_of("a/b", "yoda", "fix")
    assert len({name_of("a/b", "yoda", "fix"), name_of("a/c", "yoda", "fix"), name_of("a/b", "y", "fix")}) == 3

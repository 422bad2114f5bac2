"""Previews of branches: beside production on one host, each with a separate real Dagster."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import pipeline_tool
from tests.deploy.pipeline_steps import Github, Gitlab
from tests.deploy.pipelined import Pipelined, tool
from tests.deploy.previewed import Previewed, from_registry, previewed, tree_of
from tests.deploy.receivers import comments_of, github_comments, gitlab_notes

__all__ = ["tool"]

# Each begins with what the one before it left.
pytestmark = [pytest.mark.slow, pytest.mark.dagster, pytest.mark.xdist_group("previews")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Previewed]:
    """Give a host where production has run, and stored both assets."""
    with previewed(tmp_path_factory.mktemp("previews")) as made:
        done = made.run("deploy", "yoda", "--allow-dirty", "--no-settle")
        assert done.returncode == 0, done
        made.production.await_run(made.production.launch("sales_report", "whole"), "SUCCESS")
        yield made


def value_of(folder: Path, name: str) -> Any:
    return pickle.loads((folder / f"storage/sales_report/{name}.data").read_bytes())


def test_branches_run_beside_production_and_each_other(place: Previewed) -> None:
    """The changed asset reads production's upstream value, and nothing of production changes."""
    before = {name: tree_of(place.host.base / name) for name in ("storage", "modules")}
    place.branch("three", 3)
    place.branch("four", 4)
    (planned,) = place.preview("three", "--dry-run")
    assert planned["would"][0].startswith("Would make the preview of three in ~/previews-of-branches/previews/")
    assert planned["changes"]["sales-report"]["files"] == ["~ src/sales_report_dagster/value.py"]
    assert not place.previews.exists()
    made = {name: place.preview(name)[0] for name in ("three", "four")}
    assert len({each["port"] for each in made.values()}) == 2
    for name, factor in (("three", 3), ("four", 4)):
        dagster = place.dagster_of(made[name])
        run = dagster.launch("sales_report", "only_times")
        dagster.await_run(run, "SUCCESS")
        assert value_of(dagster.base, "times") == 21 * factor
        # The input was read from production, and is not copied.
        assert place.stored(dagster.base / "storage") == ["sales_report/times.data"]
        record = json.loads((dagster.base / "PREVIEW.json").read_text())
        assert (record["branch"], record["complete"], record["commit"]) == (name, True, place.git("rev-parse", name))
    assert value_of(place.host.base, "times") == 42
    assert {name: tree_of(place.host.base / name) for name in before} == before
    # No setting of production's gets there but by its own name.
    settings = (place.previews / made["three"]["name"] / ".env").read_text()
    assert f"of preview {made['three']['name']}" in settings
    assert "s3cret-of-production" not in settings
    assert "PREVIEW" not in (place.host.base / ".env").read_text()
    # One process and its code server, without a daemon: the schedule of every minute never starts a run.
    assert not any("dagster._daemon" in line for line in place.processes())
    listed = {each["branch"]: each for each in place.preview("--list")}
    assert {name: each["running"] for name, each in listed.items()} == {"three": True, "four": True}


def test_a_new_commit_gets_to_the_same_preview_and_one_that_fails_leaves_it(place: Previewed) -> None:
    first = {each["branch"]: each for each in place.preview("--list")}["three"]
    place.git("switch", "-q", "three")
    value = place.module / "src/sales_report_dagster/value.py"
    value.write_text("FACTOR = 30\n")
    place.git("commit", "-q", "-a", "-m", "Thirty")
    # The branch that is checked out; its commit is not on the remote.
    refused = place.run("deploy.preview")
    assert (refused.returncode, "is on no remote" in refused.stderr) == (1, True), refused
    (again,) = place.preview("--allow-dirty")
    assert (again["name"], again["port"], again["created"]) == (first["name"], first["port"], first["created"])
    dagster = place.dagster_of(again)
    dagster.await_run(dagster.launch("sales_report", "only_times"), "SUCCESS")
    assert value_of(dagster.base, "times") == 630
    value.write_text("raise RuntimeError('broken on purpose')\n")
    place.git("commit", "-q", "-a", "-m", "Broken")
    broken = place.run("deploy.preview", "--allow-dirty")
    assert (broken.returncode, "broken on purpose" in broken.stderr) == (1, True), broken
    assert {each["branch"]: each["running"] for each in place.preview("--list")} == {"three": True, "four": True}
    assert "error" not in dagster.locations()["sales_report"]
    place.git("switch", "-q", "main")
    # A branch that never had a preview leaves nothing of it, and its port is free again.
    place.git("switch", "-q", "-c", "five", "three")
    place.git("push", "-q", "origin", "five")
    place.git("switch", "-q", "main")
    failed = place.run("deploy.preview", "five")
    assert (failed.returncode, "broken on purpose" in failed.stderr) == (1, True), failed
    assert sorted(path.name for path in place.previews.iterdir() if not path.name.startswith(".lock")) == sorted(
        each["name"] for each in place.preview("--list")
    )


def pull_request_of(place: Previewed, folder: Path, tool: Path, api: str) -> Github:
    """Push a branch with the pipeline; return who carries it out."""
    place.git("switch", "-q", "-c", "seven")
    (place.module / "src/sales_report_dagster/value.py").write_text("FACTOR = 7\n")
    Pipelined(place.module, place.root, tool, {}).write(platform="github", trigger="push")
    place.git("add", "-A")
    place.git("commit", "-q", "-m", "Seven")
    place.git("push", "-q", "origin", "seven")
    # Where a person works, the deployment still says which key to use.
    place.git("switch", "-q", "main")
    settings = (place.module / "deploy/yoda/.env.deploy").read_text()
    (folder / "runner").mkdir()
    return Github(
        folder / "runner", place.origin, place.host.client_key.read_text(), settings, pipeline_tool.NO_REGISTRY, api=api
    )


def remove_with_hooks(place: Previewed, branch: str, folder: Path) -> dict[str, Any]:
    """Remove a preview whose hook fails first, and leaves it; then one that knows the preview's settings does not."""
    path = place.module / "deploy/yoda/deployment.yaml"
    written, mark = path.read_text(), folder / "mark"
    data = yaml.safe_load(written)
    for command in ("echo because; exit 4", f'echo "$DEPLOY_HOOK $DEPLOY_ACTION $SALES_REPORT_TOKEN" >{mark}'):
        data["preview"]["hooks"] = {"before_remove": [{"command": command}]}
        path.write_text(yaml.safe_dump(data))
        done = place.run("deploy.preview", branch, "--remove", "--trust", "--json")
        (found,) = json.loads(done.stdout)
        assert (done.returncode, "because" in found.get("error", "")) == (
            (1, True) if "exit" in command else (0, False)
        )
        assert (place.previews / found["name"] / "PREVIEW.json").exists() == ("exit" in command)
    path.write_text(written)
    assert mark.read_text() == f"before_remove remove of preview {found['name']}\n"
    return dict(found)


def test_previews_are_removed_by_command_merge_age_and_pipeline(place: Previewed, tmp_path: Path, tool: Path) -> None:
    before = tree_of(place.host.base / "storage")
    (would,) = place.preview("three", "--remove", "--dry-run")
    assert (would["removed"], len(place.preview("--list"))) == (False, 2)
    gone = remove_with_hooks(place, "three", tmp_path)
    assert (gone["removed"], (place.previews / gone["name"]).exists()) == (True, False)
    assert not any(gone["name"] in line for line in place.processes())
    assert place.preview("three", "--remove") == []
    # Merged: not before it is.
    assert place.preview("--merged") == []
    place.git("merge", "-q", "--no-ff", "-m", "Merge", "four")
    place.git("push", "-q", "origin", "main")
    (merged,) = place.preview("--merged")
    assert (merged["branch"], merged["removed"]) == ("four", True)
    # Too old, which the next command for any branch notices.
    place.branch("six", 6)
    (six,) = place.preview("six")
    record = place.previews / six["name"] / "PREVIEW.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "expires": "2020-01-01T00:00:00Z"}))
    assert [each["expired"] for each in place.preview("--list")] == [True]
    with comments_of(github_comments(7), "t0ken-of-the-job") as api:
        runner = pull_request_of(place, tmp_path, tool, f"http://127.0.0.1:{api.port}")
        (opened,) = runner.of_branch("seven", "opened")
        assert (opened.job, opened.code) == ("preview", 0), opened
        (seven,) = place.preview("--list")
        assert (seven["branch"], seven["running"]) == ("seven", True)
        (comment,) = api.got
        assert f"### Preview in Dagster: http://127.0.0.1:{seven['port']}" in comment
        assert "    ~ src/sales_report_dagster/value.py" in comment
        assert opened.page in comment
        # The comment is kept up to date, and nothing else is written.
        (closed,) = runner.of_branch("seven", "closed")
        assert (closed.job, closed.code) == ("preview-removal", 0), closed
        assert [comment.endswith("removed\n") for comment in api.got] == [True]
        assert runner.told([opened, closed]) == []
        assert runner.leftovers() == []
    assert place.preview("--list") == []
    assert place.processes() == []
    assert tree_of(place.host.base / "storage") == before


def merge_request_of(place: Previewed, folder: Path, tool: Path) -> Gitlab:
    """Push a branch with the pipeline, another asset and a job that has it; return who carries it out."""
    place.git("switch", "-q", "-c", "eight")
    definitions = place.module / "src/sales_report_dagster/definitions.py"
    text = definitions.read_text().replace("defs = ", f"{FURTHER}\n\ndefs = ")
    text = text.replace("assets=[number, times]", "assets=[number, times, further]")
    definitions.write_text(text.replace('["sales_report", "times"])', '["sales_report", "times"], "further")'))
    Pipelined(place.module, place.root, tool, {}).write(platform="gitlab", trigger="push", comment=True)
    place.git("add", "-A")
    place.git("commit", "-q", "-m", "Eight, not s3cret-of-production")
    place.git("push", "-q", "origin", "eight")
    place.git("switch", "-q", "main")
    settings = (place.module / "deploy/yoda/.env.deploy").read_text()
    (folder / "runner").mkdir()
    machine = {**pipeline_tool.NO_REGISTRY, **from_registry()}
    return Gitlab(folder / "runner", place.origin, place.host.client_key.read_text(), settings, machine)


FURTHER = """
@dg.asset
def further() -> int:
    return 1
"""


def test_a_merge_request_of_gitlab_has_a_note_with_its_definitions_and_a_preview(
    place: Previewed, tmp_path: Path, tool: Path
) -> None:
    """Both releases are loaded; a note is changed later, and holds no secret that its writer knows."""
    before = tree_of(place.host.base)
    with comments_of(gitlab_notes(8, "1217"), "t0ken-of-the-project") as api:
        lab = merge_request_of(place, tmp_path, tool)
        asked = lab.of_branch("eight", 8, f"http://127.0.0.1:{api.port}")
        workspace = lab.prepare("eight")
        fork = {**asked, "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "99"}
        assert lab.jobs(workspace, **fork) == {}
        of_all = {"comment": "on_success", "preview": "on_success", "preview-removal": "manual"}
        assert lab.jobs(workspace, **asked) == of_all
        api.got += ["of a person"]
        done = [lab.run(workspace, "comment", **asked)]
        _, note = api.got
        assert note.startswith(
            "<!-- dagster-module-builder: yoda sales-report -->\n### What a deployment to yoda would"
        )
        assert "\n    + asset further\n" in note
        assert "\n    ~ job only_times: assets [sales_report/times] -> [further, sales_report/times]\n" in note
        assert "Eight, not …" in note
        assert tree_of(place.host.base) == before
        done += [lab.run(workspace, "preview", **asked)]
        (eight,) = place.preview("--list")
        assert (eight["branch"], eight["running"]) == ("eight", True)
        _, note, preview = api.got
        assert f"### Preview in Dagster: http://127.0.0.1:{eight['port']}" in preview
        # When the merge request is merged or closed, GitLab starts the job that stops the environment.
        done += [lab.run(lab.prepare("eight"), "preview-removal", **asked)]
        assert api.got[:2] == ["of a person", note]
        assert api.got[2].endswith("removed\n")
        assert [one.code for one in done] == [0] * 3, done
        assert lab.told(done) == []
        assert "t0ken-of-the-project" not in str(done) + str(api.got)
        assert "s3cret-of-production" not in str(api.got)
        assert lab.leftovers() == []
    assert place.preview("--list") == []

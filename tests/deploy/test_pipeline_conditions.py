"""What starts which jobs: the same on every platform, for every trigger and every place of a module in a repository."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.pipelines.platforms import PLATFORMS
from tests.deploy import jenkinsfiles, pipeline_conditions
from tests.deploy.described_pipelines import LAYOUTS, described
from tests.deploy.jenkins_build import CONDITIONS, NotKnownYetError
from tests.deploy.pipeline_conditions import Start
from tests.deploy.repositories import git

MAIN, OTHER, TAG = "refs/heads/trunk", "refs/heads/feature/x", "refs/tags/sales/v1.2"
COMBINATIONS = list(itertools.product(LAYOUTS, ("push", "tag", "manual")))


@pytest.fixture(scope="module")
def files() -> dict[tuple[str, str, str], Any]:
    """Give every pipeline, those of Jenkins as its words."""
    made: dict[tuple[str, str, str], Any] = {
        (platform, *one): PLATFORMS[platform].text(described(*one, platform), ())
        for platform in PLATFORMS
        for one in COMBINATIONS
    }
    made["jenkins", "three in a monorepo", "changeset"] = _with_changeset(
        made["jenkins", "three in a monorepo", "push"]
    )
    own = [key for key in made if key[0] == "jenkins"]
    words = jenkinsfiles.read(*(made[key] for key in own))
    assert [jenkinsfiles.problems(one) for one in words] == [[]] * len(own)
    return made | {key: one[0] for key, one in zip(own, words, strict=True)}


def _with_changeset(text: str) -> str:
    """Return a Jenkinsfile with the condition that an earlier version wrote, in place of what compares now."""
    old = text.replace("expression { env.CHANGED == 'yes' }", "changeset 'etl/loads/orders/**'")
    assert old != text
    return old[: old.index("        stage('Changes')")] + old[old.index("        stage('Test')") :]


def starts(layout: str, kind: str) -> list[tuple[Start, set[str]]]:
    """Return what may happen, with the jobs that are to run then; where a rollback is offered is asked for apart."""
    ref, both = (TAG if kind == "tag" else MAIN), {"test", "deploy"}
    person = Start(ref, by_person=True, since=())
    cases = [(person, both), (replace(person, action="rollback"), {"rollback"})]
    if kind == "tag":
        cases += [(Start(ref), both), (Start(MAIN, ("src/a.py",)), set()), (Start("refs/tags/v1"), set())]
        cases += [(Start("refs/tags/v1", by_person=True, action=action), set()) for action in ("deploy", "rollback")]
        return [*cases, (Start("refs/tags/sales/v1/2"), set()), (Start(ref, again=True), both)]
    cases += [(Start(OTHER, ("src/a.py",)), set()), (Start(TAG), set())]
    cases += [(Start(OTHER, by_person=True, action=action), set()) for action in ("deploy", "rollback")]
    if kind == "manual":
        return [*cases, (Start(MAIN, ("src/a.py",), ("src/a.py",)), set())]
    for path, counts in LAYOUTS[layout][3].items():
        cases += [(Start(MAIN, (path,), (path,)), both if counts else set())]
    changed = next(path for path, counts in LAYOUTS[layout][3].items() if counts)
    return [*cases, (Start(MAIN, (changed,), (), again=True), both)]


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(("layout", "kind"), COMBINATIONS)
def test_every_platform_starts_the_same_jobs(
    files: dict[tuple[str, str, str], Any], platform: str, layout: str, kind: str
) -> None:
    """FAULTS P1, P13: whatever is released starts a deployment, and nothing else does."""
    started = getattr(pipeline_conditions, platform)
    for start, expected in starts(layout, kind):
        ran = started(files[platform, layout, kind], start)
        if platform == "gitlab":
            # Its rollback job stands in every pipeline of the branch or tag, and waits for a person.
            offered = start.ref == (TAG if kind == "tag" else MAIN)
            assert ("rollback" in ran) is offered, start
            waits = offered and start.action == "rollback"
            assert ran - {"rollback"} == ({"test", "deploy"} if waits else expected), start
        else:
            assert ran == expected, start


def test_jenkins_compares_with_what_succeeded_and_not_with_the_build_before(
    files: dict[tuple[str, str, str], Any],
) -> None:
    """FAULTS P1: a module whose build failed is deployed by the next push, whatever that one changed."""
    words = files["jenkins", "three in a monorepo", "push"]
    module = "etl/loads/orders/src/a.py"
    assert pipeline_conditions.jenkins(words, Start(MAIN, ("README.md",), (module, "README.md"))) == {"test", "deploy"}
    assert pipeline_conditions.jenkins(words, Start(MAIN, ("README.md",), None)) == {"test", "deploy"}


def test_a_changeset_before_a_checkout_is_a_fault_here_as_in_jenkins(files: dict[tuple[str, str, str], Any]) -> None:
    """FAULTS P1: the model refuses the condition that an earlier version wrote."""
    words = files["jenkins", "three in a monorepo", "changeset"]
    with pytest.raises(NotKnownYetError, match=r"changeset before a checkout, see https://www\.jenkins\.io/"):
        pipeline_conditions.jenkins(words, Start(MAIN, ("etl/loads/orders/src/a.py",)))
    assert {name for name, one in CONDITIONS.items() if one.of == "checkouts"} == {"changeset", "changelog"}


def test_jenkins_asks_git_itself(files: dict[tuple[str, str, str], Any], tmp_path: Path) -> None:
    """FAULTS P1: the lines that compare, in a real repository: the same, changed, and a commit that is not there."""
    (stage, *_) = jenkinsfiles.within(files["jenkins", "three in a monorepo", "push"], "stages")
    (script,) = (one["inside"] for one in jenkinsfiles.within(stage, "steps") if one["name"] == "script")
    lines = script[1]["value"]["ask"]["equal"][0]["given"][0]["script"]
    git(tmp_path, "init", "-q")
    commits = []
    for path in ("etl/loads/orders/a.py", "README.md", "etl/loads/orders/b.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-qm", path)
        commits.append(git(tmp_path, "rev-parse", "HEAD"))

    def status(deployed: str, head: str) -> int:
        git(tmp_path, "checkout", "-q", head)
        environ = {"DEPLOYED": deployed, "PATH": "/usr/bin:/bin"}
        shell = ["/bin/sh", "-xe", "-c", lines]
        return subprocess.run(shell, cwd=tmp_path, env=environ, capture_output=True, check=False).returncode

    assert status(commits[0], commits[1]) == 0
    assert status(commits[1], commits[2]) == 1
    assert status(commits[0], commits[2]) == 1
    assert status("", commits[0]) > 1
    assert status("0" * 40, commits[0]) > 1

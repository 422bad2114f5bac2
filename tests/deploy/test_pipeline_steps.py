"""The pipelines' own steps, from the generated files: they test, deploy to a real sshd, and roll back.

Every platform carries out one of the strategies here, and all of them docker in ``test_pipeline_docker.py``; every pair
of them goes through the linters of ``tests/e2e``. One host serves all platforms, one after the other: what a pipeline
deployed, it rolls back.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.status import status
from tests.deploy import pipeline_tool
from tests.deploy.modules import set_value
from tests.deploy.pipeline_steps import BRANCH, Github, Gitlab, Jenkins, Runner
from tests.deploy.pipelined import Pipelined, tool
from tests.deploy.receivers import comments_of, github_comments
from tests.deploy.repositories import git
from tests.deploy.sites import Site, quick_sites

__all__ = ["tool"]

pytestmark = pytest.mark.slow

GIT, RSYNC = (pytest.param(name, marks=pytest.mark.xdist_group(f"pipelines-{name}")) for name in ("git", "rsync"))


@pytest.fixture(scope="module", params=[GIT, RSYNC])
def handed_over(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tool: Path
) -> Iterator[tuple[Site, Pipelined]]:
    """Deploy a module by hand once, to a host that then is the pipelines'."""
    strategy = request.param
    for sites in quick_sites(tmp_path_factory.mktemp(strategy), 1, strategy):
        site = sites.sites[0]
        repository = site.module if strategy == "git" else site.root
        (site.module / "deploy/yoda/.gitignore").write_text(".env.deploy\n")
        git(repository, "init", "-q", "-b", BRANCH)
        git(repository, "add", "-A")
        git(repository, "commit", "-qm", "by hand")
        site.deploy(allow_dirty=False)
        yield site, Pipelined(site.module, repository, tool, pipeline_tool.NO_REGISTRY)


def deployed_value(site: Site) -> str:
    return (site.there / "current/src/sales_report_dagster/value.py").read_text()


@pytest.mark.parametrize(
    ("handed_over", "platform"),
    [
        pytest.param("git", "gitlab", marks=pytest.mark.xdist_group("pipelines-git")),
        pytest.param("rsync", "github", marks=pytest.mark.xdist_group("pipelines-rsync")),
        pytest.param("rsync", "jenkins", marks=pytest.mark.xdist_group("pipelines-rsync")),
    ],
    indirect=["handed_over"],
)
def test_deploys_and_rolls_back(handed_over: tuple[Site, Pipelined], platform: str, tmp_path: Path) -> None:
    site, pipelined = handed_over
    before = site.running()
    runner: Runner = pipelined.runner(platform, site.host.client_key, tmp_path)
    done = runner.deploy()
    assert [(one.job.lower(), one.code) for one in done] == [("test", 0), ("deploy", 0)], done
    assert site.running().endswith(git(pipelined.repository, "rev-parse", "HEAD")[:8])
    assert deployed_value(site) == f"VALUE = {pipelined.value}\n"
    now = site.running()
    back = runner.roll_back()
    assert back.code == 0, back.said
    assert site.running() == before
    if platform == "github":
        # What was deployed in place of what, and back.
        assert f"| sales-report | {before} | {now} |" in done[1].page
        assert f"| sales-report | {now} | {before} |" in back.page
    assert "https://run.example/" in site.log()
    assert runner.told([*done, back]) == []
    assert runner.leftovers() == []


@pytest.mark.parametrize("handed_over", [GIT], indirect=True)
def test_installs_the_published_wheel_and_what_the_module_needs(
    handed_over: tuple[Site, Pipelined], tmp_path: Path
) -> None:
    site, pipelined = handed_over
    pyproject = site.module / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "\n[project.optional-dependencies]\ndev = ['pytest']\n")
    whole = str(pipeline_tool.whole(tmp_path))
    hub: Github = pipelined.runner("github", site.host.client_key, tmp_path, tool=whole, tests=None)
    hub.machine = pipeline_tool.registries()
    done = hub.deploy()
    assert [(one.job, one.code) for one in done] == [("test", 0), ("deploy", 0)], done
    assert "1 passed" in done[0].said
    assert deployed_value(site) == f"VALUE = {pipelined.value}\n"
    assert "leia by https://run.example/yoda/sales/actions/runs/7" in site.log()


@pytest.mark.parametrize("handed_over", [RSYNC], indirect=True)
def test_failed_tests_and_other_branches_deploy_nothing(handed_over: tuple[Site, Pipelined], tmp_path: Path) -> None:
    site, pipelined = handed_over
    before = site.running()
    hub: Github = pipelined.runner("github", site.host.client_key, tmp_path, tests=["false"])
    (test,) = hub.deploy()
    assert (test.job, test.code) == ("test", 1)
    pipelined.write(platform="github", trigger="push", tests=["true"])
    git(site.root, "checkout", "-qb", "feature")
    git(site.root, "commit", "-qam", "tests that pass")
    assert hub.run("refs/heads/feature", "workflow_dispatch", action="deploy") == []
    git(site.root, "checkout", "-q", BRANCH)
    assert site.running() == before


@pytest.mark.parametrize("handed_over", [RSYNC], indirect=True)
def test_a_pull_request_has_one_comment_with_what_it_would_change(
    handed_over: tuple[Site, Pipelined], tmp_path: Path
) -> None:
    """Nothing is deployed; forks, whose code would run beside the key, are left alone."""
    site, pipelined = handed_over
    before = site.running()
    hub: Github = pipelined.runner("github", site.host.client_key, tmp_path, comment=True)
    git(site.root, "checkout", "-qb", "change")
    set_value(site.module, 1001)
    git(site.root, "commit", "-qam", "now 1001")
    git(site.root, "update-ref", "refs/pull/7/merge", "HEAD")
    with comments_of(github_comments(7), "t0ken-of-the-job") as server:
        server.got += ["of a person"] * 150
        api = f"http://127.0.0.1:{server.port}"
        done = [*hub.pull(7, api), *hub.pull(7, api)]
        assert hub.pull(7, api, from_fork=True) == []
        others, (comment,) = server.got[:150], server.got[150:]
    assert [(one.job, one.code) for one in done] == [("comment", 0)] * 2, done
    git(site.root, "checkout", "-q", BRANCH)
    assert set(others) == {"of a person"}
    assert comment.startswith("<!-- dagster-module-builder: yoda sales-report -->\n### What a deployment to yoda would")
    assert f"sales-report: {before} → " in comment
    assert "~ src/sales_report_dagster/value.py\n" in comment
    assert "now 1001\n" in comment
    assert site.running() == before
    assert hub.told(done) == []
    assert "t0ken-of-the-job" not in str(done) + comment
    assert hub.leftovers() == []


@pytest.mark.parametrize("handed_over", [RSYNC], indirect=True)
def test_jenkins_comments_on_a_pull_request_after_a_question(
    handed_over: tuple[Site, Pipelined], tmp_path: Path
) -> None:
    """The API is that of the pull request's page; a comment that is refused fails no build."""
    site, pipelined = handed_over
    before = site.running()
    jenkins: Jenkins = pipelined.runner("jenkins", site.host.client_key, tmp_path, comment=True)
    git(site.root, "checkout", "-qb", "change-in-jenkins")
    set_value(site.module, 1002)
    git(site.root, "commit", "-qam", "now 1002")
    git(site.root, "checkout", "-q", BRANCH)
    with comments_of(github_comments(9, "/api/v3"), "t0ken-of-the-project") as server:
        page = f"http://127.0.0.1:{server.port}/yoda/sales/pull/9"
        assert jenkins.of_change("origin/change-in-jenkins", page, fork="elsewhere/sales") == []
        done = jenkins.of_change("origin/change-in-jenkins", page)
        (comment,) = server.got
        done += jenkins.of_change("origin/change-in-jenkins", page.replace("/9", "/10"))
        assert server.got == [comment]
    assert [(one.job, one.code) for one in done] == [("Comment", 0)] * 2, done
    assert "now 1002\n" in comment
    assert "The comment on the pull request could not be posted" in done[1].said
    assert site.running() == before
    assert jenkins.told(done) == []
    assert "t0ken-of-the-project" not in str(done) + comment
    assert jenkins.leftovers() == []


@pytest.mark.parametrize("handed_over", [RSYNC], indirect=True)
def test_gitlab_waits_for_a_person_and_names_a_secret_that_is_unset(
    handed_over: tuple[Site, Pipelined], tmp_path: Path
) -> None:
    site, pipelined = handed_over
    before = site.running()
    lab: Gitlab = pipelined.runner("gitlab", site.host.client_key, tmp_path)
    workspace = lab.prepare(BRANCH)
    assert lab.jobs(workspace) == {"test": "on_success", "deploy": "manual", "rollback": "manual"}
    unset = lab.run(workspace, "deploy", DEPLOY_ENV="", TOOL="pip")
    assert unset.code != 0
    assert "DEPLOY_ENV: has no value: see projects/sales-report/deploy/yoda/DEPLOYMENT.md" in unset.said
    git(workspace, "checkout", "-qb", "feature")
    assert lab.jobs(workspace) == {}
    assert site.running() == before
    assert lab.leftovers() == []


@pytest.mark.parametrize("handed_over", [RSYNC], indirect=True)
def test_a_person_sees_who_deploys(handed_over: tuple[Site, Pipelined]) -> None:
    site, pipelined = handed_over
    pipelined.write(platform="gitlab", trigger="push")
    path = site.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**data, "ssh": {"identity_file": str(site.host.client_key)}}))
    ((module,),) = (one["modules"] for one in status(find(site.root, "yoda")))
    assert module["release"] == site.running()
    assert (module["strategy"], module["pipeline"]) == ("rsync", f"GitLab CI/CD on a push to {BRANCH}")

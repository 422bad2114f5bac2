"""The pipelines' own steps, from the generated files: they test, deploy to a real sshd, and roll back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uv
import yaml

from dagster_module_builder import pipeline
from dagster_module_builder.deployment import read_deployment
from dagster_module_builder.transaction import commit_one
from tests import needs
from tests.deploy.conftest import Site, quick_sites
from tests.deploy.modules import set_value
from tests.deploy.pipeline_steps import ENVIRONMENT, Github, Gitlab, Jenkins, Runner
from tests.deploy.test_strategies import git

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
SECRET = "s3cret-of-production"
#: A test of the module that needs no package.
QUICK = ['python -c \'import runpy; runpy.run_path("tests/test_it.py")["test_it"]()\'']


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with this program as a wheel, and all packages that the jobs install."""
    needs.registry()
    folder = tmp_path_factory.mktemp("wheels")
    subprocess.run([uv.find_uv_bin(), "build", "-q", "--wheel", "-o", folder, REPOSITORY], check=True)
    (wheel,) = folder.glob("*.whl")
    command = [sys.executable, "-m", "venv", folder / "venv"]
    subprocess.run(command, check=True)
    download = [folder / "venv/bin/pip", "download", "-q", "-d", folder, "-c", REPOSITORY / "constraints.txt"]
    subprocess.run([*download, wheel, "setuptools", "wheel", "pytest"], check=True, stderr=subprocess.DEVNULL)
    return folder


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    for sites in quick_sites(tmp_path, 1, request.param):
        yield sites.sites[0]


def hand_over(site: Site, wheels: Path, repository: Path, **own: Any) -> str:
    """Deploy by hand once, and return that release; from then on let a pipeline do it, as the guide says.

    Its file and the pinned keys are committed, and the key of a person is nowhere.
    """
    (site.module / "deploy/yoda/.gitignore").write_text(".env.deploy\n")
    git(repository, "init", "-q", "-b", "main")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "by hand")
    site.deploy(allow_dirty=False)
    as_pipeline(site.module, wheels, **{"tests": QUICK, **own})
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "a pipeline, and another value")
    return site.running()


def as_pipeline(module: Path, wheels: Path, **own: Any) -> None:
    """Let a pipeline carry out the strategy of a deployment from now on; give the module another value."""
    path = module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    (wheel,) = wheels.glob("dagster_module_builder-*.whl")
    section = {"carries_out": data["strategy"], "tool": str(wheel), **own}
    data |= {"strategy": "ci-cd", "ci-cd": section, "ssh": {"identity_file": "~/.ssh/of-somebodys-laptop"}}
    path.write_text(yaml.safe_dump(data))
    set_value(module, 2)
    commit_one(pipeline.planned(read_deployment(path.parent)))


def runner(kind: type[Any], site: Site, repository: Path, wheels: Path, folder: Path) -> Any:
    made: Runner = kind(
        folder / "runner",
        repository,
        wheels,
        site.host.client_key.read_text(),
        (site.module / "deploy/yoda/.env.deploy").read_text(),
    )
    made.folder.mkdir()
    return made


def deployed_value(site: Site) -> str:
    return (site.there / "current/src/sales_report_dagster/value.py").read_text()


@pytest.mark.parametrize("site", ["git"], indirect=True)
def test_github(site: Site, wheels: Path, tmp_path: Path) -> None:
    (site.module / "pyproject.toml").write_text(
        (site.module / "pyproject.toml").read_text() + "\n[project.optional-dependencies]\ndev = ['pytest']\n"
    )
    before = hand_over(site, wheels, site.module, platform="github", trigger="push", tests=None)
    hub = runner(Github, site, site.module, wheels, tmp_path)
    done = hub.run("refs/heads/main")
    assert [(one.job, one.code) for one in done] == [("test", 0), ("deploy", 0)], done
    assert "1 passed" in done[0].said
    assert site.running().endswith(git(site.module, "rev-parse", "HEAD")[:8])
    assert "VALUE = 2" in deployed_value(site)
    (rolled,) = hub.run("refs/heads/main", "workflow_dispatch", action="rollback", release="")
    assert (rolled.job, rolled.code) == ("rollback", 0), rolled.said
    assert site.running() == before
    assert "leia by https://github.example/yoda/sales/actions/runs/7" in site.log()
    assert SECRET not in "".join(one.said for one in [*done, rolled])
    assert hub.leftovers() == []


@pytest.mark.parametrize("site", ["rsync"], indirect=True)
def test_failed_tests_and_other_branches_deploy_nothing(site: Site, wheels: Path, tmp_path: Path) -> None:
    before = hand_over(site, wheels, site.root, platform="github", trigger="push", tests=["false"])
    hub = runner(Github, site, site.root, wheels, tmp_path)
    (test,) = hub.run("refs/heads/main")
    assert (test.job, test.code) == ("test", 1)
    path = site.module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("- 'false'", "- 'true'"))
    commit_one(pipeline.planned(read_deployment(path.parent)))
    git(site.root, "checkout", "-qb", "feature")
    git(site.root, "commit", "-qam", "tests that pass")
    (test,) = hub.run("refs/heads/feature", "workflow_dispatch", action="deploy")
    assert (test.job, test.code) == ("test", 0), test.said
    assert site.running() == before


@pytest.mark.parametrize("site", ["rsync"], indirect=True)
def test_gitlab(site: Site, wheels: Path, tmp_path: Path) -> None:
    before = hand_over(site, wheels, site.root, platform="gitlab", trigger="push")
    lab = runner(Gitlab, site, site.root, wheels, tmp_path)
    workspace = lab.prepare("main")
    git(workspace, "checkout", "-qb", "feature")
    assert lab.jobs(workspace) == {}
    git(workspace, "checkout", "-q", "-B", "main")
    assert lab.jobs(workspace) == {"test": "on_success", "deploy": "manual", "rollback": "manual"}
    code, said = lab.ask(workspace)
    assert code == 0, said
    assert f"PASS  {ENVIRONMENT} test" in said
    assert site.running() == before
    unset = lab.run(workspace, "deploy", DEPLOY_ENV="", TOOL="pip")
    assert unset.code != 0
    assert "DEPLOY_ENV: has no value: see projects/sales-report/deploy/yoda/DEPLOYMENT.md" in unset.said
    deployed = lab.run(workspace, "deploy")
    assert deployed.code == 0, deployed.said
    assert "VALUE = 2" in deployed_value(site)
    back = lab.run(workspace, "rollback", RELEASE=before)
    assert back.code == 0, back.said
    assert site.running() == before
    assert "https://gitlab.example/7" in site.log()
    assert SECRET not in said + unset.said + deployed.said + back.said
    assert lab.leftovers() == []


@pytest.mark.parametrize("site", ["git"], indirect=True)
def test_jenkins(site: Site, wheels: Path, tmp_path: Path) -> None:
    (site.root / "Jenkinsfile").write_text("pipeline { agent any }\n")
    before = hand_over(site, wheels, site.root, platform="jenkins", trigger="manual")
    jenkins = runner(Jenkins, site, site.root, wheels, tmp_path)
    jenkins.file = "Jenkinsfile.yoda"
    done = [jenkins.run("main", "Test"), jenkins.run("main", "Deploy")]
    assert [one.code for one in done] == [0, 0], done
    assert site.running().endswith(git(site.root, "rev-parse", "HEAD")[:8])
    back = jenkins.run("main", "Roll back", ACTION="rollback", RELEASE="")
    assert back.code == 0, back.said
    assert site.running() == before
    assert SECRET not in "".join(one.said for one in [*done, back])
    assert jenkins.leftovers() == []

"""What ``deploy`` refuses on this machine, and that its check and its dry run refuse the same."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.check import check
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.model.deployment import find, read_deployment
from dagster_module_builder.deploy.model.source import to_commit
from dagster_module_builder.deploy.preview import preview
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.repositories import git
from tests.deploy.sites import Site


@pytest.fixture
def cloned(quick: Site) -> Site:
    """A clone of a repository with two commits and a module, ready to be deployed."""
    (quick.root / ".gitignore").write_text("__pycache__/\n.env.deploy\n")
    git(quick.root, "init", "-q", "-b", "main")
    git(quick.root, "add", "-A")
    git(quick.root, "commit", "-qm", "first")
    git(quick.root, "commit", "-q", "--allow-empty", "-m", "second")
    upstream = quick.root.with_name("upstream")
    quick.root.rename(upstream)
    git(upstream.parent, "clone", "-q", str(upstream), str(quick.root))
    for name in (".env.deploy",):
        there = "projects/sales-report/deploy/yoda"
        shutil.copy2(upstream / there / name, quick.root / there / name)
    return quick


def dirty(site: Site) -> str:
    set_value(site.module, 2)
    return "not committed"


def untracked(site: Site) -> str:
    (site.module / "src/new.py").touch()
    return "not committed"


def unpushed(site: Site) -> str:
    set_value(site.module, 2)
    git(site.root, "commit", "-qam", "only here")
    return "on no remote"


def shallow(site: Site) -> str:
    git(site.root, "fetch", "-q", "--depth=1", site.root.with_name("upstream").as_uri())
    unpushed(site)
    return "git fetch --unshallow"


def no_settings(site: Site) -> str:
    (site.module / "deploy/yoda/.env.deploy").unlink()
    return "is missing"


def no_value(site: Site) -> str:
    (site.module / "deploy/yoda/.env.deploy.example").write_text("OTHER='change-me'\n")
    git(site.root, "add", "-A")
    git(site.root, "commit", "-qm", "an example")
    git(site.root, "push", "-q", "origin", "HEAD:refs/heads/other")
    git(site.root, "fetch", "-q")
    return "OTHER has no value yet"


def no_definitions(site: Site) -> str:
    git(site.root, "mv", "projects/sales-report/src", "projects/sales-report/code")
    git(site.root, "commit", "-qm", "moved")
    git(site.root, "push", "-q", "origin", "HEAD:refs/heads/other")
    return "no src/sales_report_dagster/definitions.py"


@pytest.mark.parametrize(
    ("how", "strategy"),
    [
        *((how, "rsync") for how in (dirty, untracked, unpushed, shallow, no_settings, no_value, no_definitions)),
        *((how, "git") for how in (dirty, shallow, no_definitions)),
    ],
)
def test_check_and_preview_refuse_what_deploy_refuses(cloned: Site, how: Callable[[Site], str], strategy: str) -> None:
    """FAULTS C7: in under a second, since no host is asked."""
    path = cloned.module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("strategy: rsync", f"strategy: {strategy}"))
    if strategy == "git":
        git(cloned.root, "commit", "-qam", "by git")
        git(cloned.root, "push", "-q", "origin", "HEAD:refs/heads/by-git")
    assert check(find(cloned.root, "yoda"))[0]["problems"] == []
    said = how(cloned)
    asked = cloned.host.connections()
    started = time.process_time()
    (found,) = check(find(cloned.root, "yoda"))
    assert time.process_time() - started < 1
    with pytest.raises(BuilderError, match=said) as refused:
        preview(find(cloned.root, "yoda"))
    assert cloned.host.connections() == asked
    with pytest.raises(BuilderError, match=said) as by_deploy:
        cloned.deploy(allow_dirty=False)
    assert found["problems"] == [str(refused.value)] == [str(by_deploy.value)]


def test_a_new_deployment_does_not_make_the_others_dirty(cloned: Site) -> None:
    """FAULTS C7: each needs its own files committed, and no other's."""
    answers = {"deployment": "leia", "client": "Leia", "hosts": "leia.example"}
    configure(cloned.root, cloned.module, "rsync", answers)
    assert check(find(cloned.root, "yoda"))[0]["problems"] == []
    cloned.deploy(allow_dirty=False)
    (found,) = check(find(cloned.root, "leia"))
    assert "deploy/leia/" in str(found["problems"])


def test_next_steps_say_what_to_commit(cloned: Site) -> None:
    """FAULTS C7: after configure-deployment and deploy.trust, as lines that can be typed."""
    path = cloned.module / "deploy/yoda/known_hosts"
    path.write_text("")
    git(cloned.root, "commit", "-qam", "no key")
    fingerprint = run(cloned.root, "deploy.trust", "yoda").stderr.partition("SHA256:")[2].split()[0]
    said = run(cloned.root, "deploy.trust", "yoda", "--fingerprint", f"SHA256:{fingerprint}").stdout
    assert "add deploy/yoda/known_hosts" in said
    assert "push" in said
    answers = ("--deployment", "leia", "--client", "x", "--hosts", "leia.example", "--strategy", "rsync", "--no-input")
    said = run(cloned.root, "configure-deployment", "sales-report", *answers).stdout
    assert "deploy/leia/deployment.yaml" in said
    assert "deploy/leia/.env.deploy.example" in said
    assert ".env.deploy " not in said.partition("git -C")[2]
    for name in ("yoda", "leia"):
        add, commit, push = to_commit(read_deployment(cloned.module / "deploy" / name))
        assert push.endswith(" push")
        git(cloned.module, *add.split()[3:])
        git(cloned.module, *commit.split()[3:5], name)
    assert not git(cloned.root, "status", "--porcelain")
    assert yaml.safe_load(git(cloned.root, "show", f"HEAD:{Path('projects/sales-report/deploy/leia/deployment.yaml')}"))

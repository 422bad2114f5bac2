"""Repositories that come from elsewhere, that are damaged, or that are another user's: nothing in them runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.deploy.check import check
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.preview import preview
from dagster_module_builder.programs.version_control import commits_since, top
from dagster_module_builder.programs.version_control import find as find_repository
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.workspaces.initialize import initialize
from tests.deploy.modules import make_module, simplify
from tests.deploy.repositories import git

#: Settings of a repository that name a program, or a file with further settings; each may do harm by itself.
SETTINGS = {
    "core.fsmonitor": "{program}",
    "core.hooksPath": "{hooks}",
    "core.sshCommand": "{program}",
    "core.pager": "{program}",
    "core.askPass": "{program}",
    "core.editor": "{program}",
    "core.gitProxy": "{program}",
    "core.alternateRefsCommand": "{program}",
    "pager.status": "{program}",
    "diff.external": "{program}",
    "diff.x.command": "{program}",
    "diff.x.textconv": "{program}",
    "filter.x.clean": "{program}",
    "filter.x.smudge": "{program}",
    "filter.y.process": "{program}",
    "credential.helper": "!{program}",
    "alias.status": "!{program}",
    "alias.rev-parse": "!{program}",
    "gpg.program": "{program}",
    "log.showSignature": "true",
    "status.submoduleSummary": "true",
    "url.ext::{program}.insteadOf": "ssh://",
    "remote.origin.uploadpack": "{program}",
    "include.path": "{more}",
    "core.worktree": "/etc",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace with a module and a deployment whose host is not there."""
    root = tmp_path / "workspace"
    initialize(root, {})
    module = simplify(make_module(root))
    declare(module)
    return root


@pytest.fixture
def module(root: Path) -> Path:
    return root / "projects/sales-report"


def declare(module: Path) -> None:
    folder = module / "deploy/yoda"
    folder.mkdir(parents=True)
    data = {
        "version": 1,
        "deployment": "yoda",
        "client": "Yoda Ltd",
        "module": module.name,
        "strategy": "rsync",
        "hosts": [{"host": "127.0.0.1", "port": 9}],
        "base_path": "~/srv",
        "dagster": {"kind": "native", "url": "http://127.0.0.1:9"},
    }
    (folder / "deployment.yaml").write_text(yaml.safe_dump(data))
    (folder / ".env.deploy").touch(0o600)


def use(module: Path, strategy: str) -> None:
    path = module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("strategy: rsync", f"strategy: {strategy}"))


def everything(root: Path, module: Path) -> dict[str, Callable[[], object]]:
    """Return what looks at a module without running it."""
    answers = {"deployment": "leia", "client": "x", "hosts": "x.example"}
    return {
        "audit": lambda: audit(root, module),
        "upgrade": lambda: upgrade(root, module.name, dry_run=True),
        "check": lambda: check(find(root, "yoda")),
        "preview": lambda: preview(find(root, "yoda"), allow_dirty=True),
        "configure": lambda: configure(root, module, "rsync", answers),
    }


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A program that leaves a trace."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "pre-push", "post-checkout"):
        shutil.copy2(program, hooks / name)
    (tmp_path / "more").write_text(f"[core]\n\tfsmonitor = {program}\n")
    return tmp_path / "ran"


def infest(repository: Path, canary: Path, leave_out: tuple[str, ...] = ()) -> None:
    folder = canary.parent
    places = {"program": folder / "program", "hooks": folder / "hooks", "more": folder / "more"}
    for name, value in SETTINGS.items():
        if name not in leave_out:
            text = subprocess.run(
                ["git", "config", "--file", repository / "config", name.format(**places), value.format(**places)],
                check=True,
            )
            assert text.returncode == 0
    hooks = repository / "hooks"
    shutil.rmtree(hooks, ignore_errors=True)
    shutil.copytree(folder / "hooks", hooks)


def commit(folder: Path) -> None:
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    # What a filter would have to look at again.
    for path in folder.rglob("*.py"):
        os.utime(path)


@pytest.mark.parametrize("strategy", ["git", "rsync"])
def test_nothing_that_a_repository_names_runs(root: Path, module: Path, canary: Path, strategy: str) -> None:
    """FAULTS S3: a copied .git folder, that of a submodule, and that of a linked worktree."""
    use(module, strategy)
    (module / ".gitattributes").write_text("*.py filter=x diff=x\n*.yaml filter=y\n")
    if strategy == "rsync":
        (module / "vendor").mkdir()
        (module / "vendor/x.py").write_text("")
        (module / "vendor/.gitattributes").write_text("*.py filter=x\n")
        commit(module / "vendor")
        infest(module / "vendor/.git", canary)
    commit(module)
    # By itself Git does run it.
    infest(module / ".git", canary, leave_out=("core.worktree",))
    subprocess.run(["git", "status"], cwd=module, capture_output=True, check=False)
    assert canary.exists()
    canary.unlink()
    infest(module / ".git", canary)
    for name, look in everything(root, module).items():
        look()
        assert not canary.exists(), name


@pytest.mark.parametrize("above", [True, False])
def test_bare_repository_as_a_module(root: Path, module: Path, canary: Path, above: bool) -> None:
    """FAULTS S3: a module's folder that is itself a bare repository, in a repository and in none."""
    if above:
        commit(root)
    git(module, "init", "-q", "--bare", ".")
    infest(module, canary, leave_out=("core.worktree", "core.hooksPath"))
    git(module, "config", "--file", "config", "core.bare", "false")
    git(module, "config", "--file", "config", "core.worktree", str(module))
    subprocess.run(["git", "status"], cwd=module, capture_output=True, check=False)
    assert canary.exists()
    canary.unlink()
    for name, look in everything(root, module).items():
        if above and name in {"configure", "preview", "upgrade"}:
            with pytest.raises(ToolError, match="bare repository"):
                look()
        else:
            look()
        assert not canary.exists(), name


def another_users(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if os.geteuid():
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    else:
        os.chown(folder, 65534, 65534)
    return r"dubious ownership[\s\S]*git config --global --add safe.directory"


def without_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PATH", str(folder))
    return "'git' was not found. Install git"


def damaged(folder: Path, _: pytest.MonkeyPatch) -> str:
    (folder / ".git/HEAD").unlink()
    return "Git does not accept .* as a repository. Repair it"


def broken_link(folder: Path, _: pytest.MonkeyPatch) -> str:
    shutil.rmtree(folder / ".git")
    (folder / ".git").write_text("gitdir: /nowhere/.git/worktrees/x\n")
    return "not a git repository: /nowhere"


def unknown_format(folder: Path, _: pytest.MonkeyPatch) -> str:
    git(folder, "config", "core.repositoryformatversion", "9")
    return "git repo version"


@pytest.mark.parametrize("how", [another_users, without_git, damaged, broken_link, unknown_format])
@pytest.mark.parametrize("inner", [True, False])
def test_a_failing_git_is_no_answer(
    root: Path, module: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[..., str], inner: bool
) -> None:
    """FAULTS C1: only "not a git repository" means that there is none, also below another repository."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    if inner:
        commit(root)
    commit(module)
    said = how(module, monkeypatch)
    with pytest.raises(ToolError, match=said):
        top(module)
    # rsync is looked for first, where nothing is on PATH.
    tools = f"{said}|not installed"
    with pytest.raises(ToolError, match=tools):
        preview(find(root, "yoda"), allow_dirty=True)
    with pytest.raises(ToolError, match=said):
        upgrade(root, module.name)
    (found,) = check(find(root, "yoda"))
    assert any(word in str(found["problems"]) for word in ("git", "not installed"))
    found_by_audit = [problem.message for one in audit(root, module).results for problem in one.problems]
    assert any("git" in message for message in found_by_audit)
    for strategy in ("rsync", "ci-cd"):
        with pytest.raises(ToolError, match=said):
            configure(root, module, strategy, {"deployment": "leia", "client": "x", "hosts": "x.example"})
    assert not (module / "deploy/leia").exists()


def test_module_in_no_repository(root: Path, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS C1: also where Git is not installed."""
    assert top(module) is None
    monkeypatch.setenv("PATH", str(root))
    assert top(module) is None


def test_variables_do_not_lead_elsewhere(root: Path, module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS S3: as in a hook, where Git sets them for its own repository."""
    commit(module)
    commit(root)
    monkeypatch.setenv("GIT_DIR", str(root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(root / "nothing"))
    repository = find_repository(module)
    assert repository is not None
    assert (repository.top, repository.prefix, repository.changed()) == (module, "", [])


def test_linked_worktree_has_its_own_head(tmp_path: Path, module: Path) -> None:
    commit(module)
    git(module, "worktree", "add", "-q", "-b", "other", str(tmp_path / "linked"))
    (tmp_path / "linked/new.py").touch()
    repository = find_repository(tmp_path / "linked")
    assert repository is not None
    assert (repository.branch, repository.changed()) == ("other", ["new.py"])


@pytest.mark.parametrize("said", ["--output={}", "a" * 41])
def test_what_a_host_says_is_no_option(module: Path, tmp_path: Path, said: str) -> None:
    """FAULTS S7: a host's commit becomes an argument only where it is one."""
    commit(module)
    written = tmp_path / "written"
    head = git(module, "rev-parse", "HEAD")
    assert commits_since(module, said.format(written), head) == []
    assert commits_since(module, "0" * 40, head) == []
    assert not list(tmp_path.glob("written*"))
    (module / "new.py").touch()
    git(module, "add", "-A")
    git(module, "commit", "-qm", "the new one")
    (line,) = commits_since(module, head, git(module, "rev-parse", "HEAD"))
    assert line.endswith(" x: the new one")

"""What reaches a host by the strategy git: one module's files as they were committed, and nothing of others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.rollback import roll_back
from dagster_module_builder.deploy.strategies.base import load_strategy
from dagster_module_builder.programs.version_control import COMMIT
from tests.deploy.modules import set_value
from tests.deploy.repositories import git, settings
from tests.deploy.sites import Site, quick_sites


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Site]:
    """Give a repository with two modules, a library, two clients, and a secret that was deleted again."""
    for sites in quick_sites(tmp_path, 1, "git"):
        site = sites.sites[0]
        shutil.copytree(site.module / "deploy/yoda", site.module / "deploy/leia")
        for name in ("projects/other/private.py", "libs/acme/acme.py", "libs/acme/deploy/luke/deployment.yaml"):
            (site.root / name).parent.mkdir(parents=True)
            (site.root / name).write_text(f"# {name}\n")
        (site.root / ".gitignore").write_text(".env.deploy\n__pycache__/\n")
        (site.module / "secret.txt").write_text("deleted long ago")
        git(site.root, "init", "-q", "-b", "main")
        commit(site, "first")
        (site.module / "secret.txt").unlink()
        commit(site, "second")
        yield site


def commit(site: Site, message: str) -> str:
    git(site.root, "add", "-A")
    git(site.root, "commit", "-qm", message)
    return git(site.root, "rev-parse", "HEAD")


def arrived(site: Site) -> dict[str, str]:
    """Return the kind of every object in the host's repository, reachable or not."""
    said = git(site.there / "repo.git", "cat-file", "--batch-all-objects", "--batch-check")
    return {line.split()[0]: line.split()[1] for line in said.splitlines()}


def wanted(site: Site) -> dict[str, str]:
    """Return the kind of every object that the module's folder is made of, without its deployments."""
    said = git(site.root, "ls-tree", "-r", "-t", "HEAD:projects/sales-report")
    lines = [line.split(maxsplit=3) for line in said.splitlines()]
    return {name: kind for _, kind, name, path in lines if path.split("/")[0] != "deploy"}


def test_nothing_but_the_module_reaches_the_host(shared: Site) -> None:
    """FAULTS A3: no history, no other modules, no other clients, no deleted files."""
    shared.deploy(allow_dirty=False)
    found = arrived(shared)
    outside = {name: kind for name, kind in found.items() if name not in wanted(shared)}
    assert sorted(outside.values()) == ["commit", "tree"]
    assert set(wanted(shared)) <= set(found)
    (commit_there,) = [name for name, kind in outside.items() if kind == "commit"]
    assert "parent" not in git(shared.there / "repo.git", "cat-file", "commit", commit_there)
    current = shared.there / "current"
    assert not (current / "deploy").exists()
    record = json.loads((current / "RELEASE.json").read_text())
    assert record["commit"] == git(shared.root, "rev-parse", "HEAD")


def test_only_what_changed_is_pushed(shared: Site) -> None:
    """FAULTS A3: the next push sends the changed file with its folders; none is sent where nothing changed."""
    shared.deploy()
    before = set(arrived(shared))
    (shared.root / "projects/other/private.py").write_text("changed")
    commit(shared, "elsewhere")
    shared.deploy()
    assert set(arrived(shared)) == before
    set_value(shared.module, 2)
    commit(shared, "a value")
    packs = pushed(shared)
    assert packs == {"blob": 1, "tree": 3, "commit": 1}


def pushed(site: Site) -> dict[str, int]:
    """Deploy, and count the objects that were sent: the host's repository keeps what it has in separate packs."""
    repository = site.there / "repo.git"
    git(repository, "config", "receive.unpackLimit", "1")
    before = set(repository.glob("objects/pack/*.idx"))
    site.deploy()
    (new,) = set(repository.glob("objects/pack/*.idx")) - before
    said = git(repository, "verify-pack", "-v", str(new))
    # Other lines count the deltas.
    objects = [words for words in map(str.split, said.splitlines()) if words and COMMIT.fullmatch(words[0])]
    # A thin pack is completed with what its deltas begin with, which the host had already.
    bases = {words[6] for words in objects if len(words) > 6}
    old = {line.split()[0] for idx in before for line in git(repository, "verify-pack", "-v", str(idx)).splitlines()}
    old |= {path.parent.name + path.name for path in repository.glob("objects/??/*")}
    assert [words[0] for words in objects if words[0] in old - bases] == []
    new_ones = [words[1] for words in objects if words[0] not in old]
    return {kind: new_ones.count(kind) for kind in sorted(set(new_ones), key=["blob", "tree", "commit"].index)}


def test_old_repository_on_the_host_is_replaced(shared: Site) -> None:
    """FAULTS A3: what an earlier version pushed is gone after the next deployment; rollback still works."""
    (first,) = shared.deploy()
    repository = shared.there / "repo.git"
    shutil.rmtree(repository)
    git(shared.root, "init", "-q", "--bare", str(repository))
    git(shared.root, "push", "-q", str(repository), "+HEAD:refs/heads/deployed")
    secret = git(shared.root, "rev-parse", "HEAD~:projects/sales-report/secret.txt")
    assert secret in arrived(shared)
    set_value(shared.module, 2)
    commit(shared, "third")
    shared.deploy()
    assert [kind for kind in arrived(shared).values() if kind == "commit"] == ["commit"]
    assert secret not in arrived(shared)
    roll_back(find(shared.root, "yoda"))
    assert shared.running() == first.releases["sales-report"]


def test_shared_folders_come_where_they_are_named(shared: Site) -> None:
    """FAULTS A3: ``git: include`` brings a folder at its path in the repository, without its deployments."""
    settings(shared, include=["libs/acme"])
    shared.deploy()
    current = shared.there / "current"
    assert (current / "libs/acme/acme.py").read_text() == "# libs/acme/acme.py\n"
    assert not (current / "libs/acme/deploy").exists()
    settings(shared, include=["libs/missing"])
    with pytest.raises(RefusedError, match="has no libs/missing"):
        shared.deploy()


def test_host_that_fetches_exports_the_module_alone(shared: Site, tmp_path: Path) -> None:
    """FAULTS A3: it gets one commit without history, and releases without deployments."""
    origin = tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "--bare", str(origin))
    git(shared.root, "push", "-q", str(origin), "main")
    deployed = git(shared.root, "rev-parse", "HEAD")
    set_value(shared.module, 2)
    git(shared.root, "commit", "-qam", "the branch goes on")
    git(shared.root, "push", "-q", str(origin), "main")
    git(shared.root, "checkout", "-q", "-B", "main", deployed)
    settings(shared, repository=origin.as_uri(), branch="main", include=["libs/acme"])
    shared.deploy()
    current = shared.there / "current"
    assert "VALUE = 1" in (current / "src/sales_report_dagster/value.py").read_text()
    assert (current / "libs/acme/acme.py").is_file()
    assert not (current / "deploy").exists()
    assert git(origin, "rev-parse", "main~2:projects/sales-report/secret.txt") not in arrived(shared)


ATTRIBUTES = """\
*.txt text eol=crlf
*.sql ident
*.cfg export-subst
*.utf working-tree-encoding=UTF-16 text
*.lfs filter=lfs diff=lfs merge=lfs -text
"""
COMMITTED = {
    "lines.txt": b"one\ntwo\n",
    "query.sql": b"-- $Id$\n",
    "version.cfg": b"$Format:%H$\n",
    "wide.utf": "ä\n".encode(),
    "crlf.py": b"x = 1\r\n",
    "plain.py": b"x = 1\n",
}


@pytest.mark.parametrize("converting", [True, False])
def test_committed_bytes_arrive(
    shared: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, converting: bool
) -> None:
    """FAULTS C8: whatever conversions the deployer's settings, the host's and the attributes ask for."""
    for name, content in COMMITTED.items():
        (shared.module / name).write_bytes(content)
    git(shared.root, "-c", "core.autocrlf=false", "add", "-A")
    (shared.module / ".gitattributes").write_text(ATTRIBUTES)
    git(shared.root, "add", "projects/sales-report/.gitattributes")
    git(shared.root, "commit", "-qm", "attributes")
    if converting:
        wide = "filter.lfs.smudge=tr a-z A-Z", "core.autocrlf=true", "core.eol=crlf", "filter.lfs.clean=tr A-Z a-z"
        config = tmp_path / "gitconfig"
        for one in wide:
            git(tmp_path, "config", "--file", str(config), *one.split("=", 1))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
        (shared.host.folder / ".gitconfig").write_text(config.read_text())
    shared.deploy()
    set_value(shared.module, 3)
    git(shared.root, "add", "projects/sales-report/src")
    git(shared.root, "commit", "-qm", "again")
    shared.deploy()
    current = shared.there / "current"
    assert {name: (current / name).read_bytes() for name in COMMITTED} == COMMITTED


def test_shallow_clone_is_deployed(shared: Site, tmp_path: Path) -> None:
    """FAULTS C8: also where the host has an earlier release that this clone does not know."""
    shared.deploy()
    set_value(shared.module, 2)
    commit(shared, "third")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", shared.root.as_uri(), str(clone))
    for file in (shared.module / "deploy/yoda").glob(".env*"):
        shutil.copy2(file, clone / "projects/sales-report/deploy/yoda" / file.name)
    there = Site(clone, clone / "projects/sales-report", shared.host, shared.dagster)
    there.deploy(allow_dirty=False)
    assert "VALUE = 2" in (shared.there / "current/src/sales_report_dagster/value.py").read_text()
    set_value(there.module, 3)
    git(clone, "commit", "-qam", "only here")
    with pytest.raises(RefusedError, match="git fetch --unshallow"):
        there.deploy(allow_dirty=False)


def test_nothing_is_written_into_the_deployers_repository(shared: Site) -> None:
    """FAULTS A3: the tree and the commit that are sent are made beside it."""
    before = {path: path.stat().st_mtime_ns for path in (shared.root / ".git").rglob("*") if path.is_file()}
    shared.deploy()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not subprocess.run(["git", "fsck", "--unreachable"], cwd=shared.root, capture_output=True, check=True).stdout


@pytest.mark.parametrize(("said", "has"), [("", True), ("no\n", False)])
def test_a_warning_of_the_hosts_shell_is_no_answer(said: str, has: bool) -> None:
    """It says whether it has a commit beside a locale that it cannot change."""
    steps = sys.modules[type(load_strategy("git")).__module__]
    warning = "sh: warning: setlocale: LC_ALL: cannot change locale (de_DE.UTF-8)\n"
    place = SimpleNamespace(repository="repo.git", run=lambda *_: warning + said)
    assert steps._has(place, "c" * 40) is has


@pytest.mark.parametrize("some", [False, True])
def test_an_export_that_fails_behind_all_of_its_files_has_failed(tmp_path: Path, some: bool) -> None:
    """A pipeline ends as its last program does: tar, which was given a whole archive, is content."""
    steps = sys.modules[type(load_strategy("git")).__module__]
    (repository := tmp_path / "repository").mkdir()
    for arguments in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        git(repository, *arguments)
    (repository / "a file").write_text("whole")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "y")
    (programs := tmp_path / "programs").mkdir()
    real = shutil.which("git")
    (programs / "git").write_text(f'#!/bin/sh\n{real} "$@" && ! test -e {tmp_path}/failing || exit 7\n')
    (programs / "git").chmod(0o755)
    (folder := tmp_path / "folder").mkdir()
    script, given = (steps._EXPORT_SOME, b"a file\0") if some else (steps._EXPORT, None)
    command = ["sh", "-c", script, "sh", repository, "HEAD", folder]
    environ = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(command, input=given, env=environ, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (folder / "a file").read_text() == "whole"
    (tmp_path / "failing").touch()
    assert subprocess.run(command, input=given, env=environ, check=False).returncode != 0
    command[-2:] = ["HEAD", tmp_path / "nowhere"]
    assert subprocess.run(command, input=given, env=environ, check=False, capture_output=True).returncode != 0

"""git, a strategy made up on the spot, and what no strategy releases."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.host_side.manifest import OWN_FILES
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.preview import preview
from tests.deploy.modules import by_rsync, set_value
from tests.deploy.repositories import git, settings
from tests.deploy.sites import Site, quick_sites

OPTIONS = Options(allow_dirty=True, settle=False)


@pytest.fixture
def by_git(tmp_path: Path) -> Iterator[Site]:
    for sites in quick_sites(tmp_path, 1, "git"):
        site = sites.sites[0]
        (site.root / ".gitignore").write_text("deploy/\n__pycache__/\n")
        git(site.root, "init", "-q", "-b", "main")
        git(site.root, "add", "-A")
        git(site.root, "commit", "-qm", "first")
        yield site


def test_pushed_commit_is_exported(by_git: Site) -> None:
    (first,) = by_git.deploy(allow_dirty=False)
    release = first.releases["sales-report"]
    assert release.endswith(git(by_git.root, "rev-parse", "HEAD")[:8])
    assert by_git.running() == release
    set_value(by_git.module, 2)
    with pytest.raises(RefusedError, match="not committed"):
        by_git.deploy(allow_dirty=False)
    by_git.deploy(allow_dirty=True)
    assert "VALUE = 1" in (by_git.there / "current/src/sales_report_dagster/value.py").read_text()
    git(by_git.root, "commit", "-qam", "second")
    by_git.deploy(allow_dirty=False)
    assert "VALUE = 2" in (by_git.there / "current/src/sales_report_dagster/value.py").read_text()
    before = by_git.host.connections()
    by_git.deploy()
    assert by_git.host.connections() - before == 2


def test_commits_share_what_they_have_alike(by_git: Site) -> None:
    """Added, changed, removed, a folder that becomes a file, and a file that is to be exported no more."""
    package = by_git.module / "src/sales_report_dagster"
    (package / "old").mkdir()
    (package / "old/gone.py").touch()
    (by_git.module / "becomes").mkdir()
    (by_git.module / "becomes/file").touch()
    (package / "plain [x].py").write_text("1")
    git(by_git.root, "add", "-A")
    git(by_git.root, "commit", "-qm", "first")
    by_git.deploy()
    first = (by_git.there / "current").resolve()
    (package / "old/gone.py").unlink()
    (package / "plain [x].py").write_text("2")
    (package / "new").mkdir()
    (package / "new/one.py").touch()
    git(by_git.root, "add", "-A")
    git(by_git.root, "commit", "-qm", "second")
    by_git.deploy()
    second = (by_git.there / "current").resolve()
    assert (first / "pyproject.toml").stat().st_ino == (second / "pyproject.toml").stat().st_ino
    there = second / "src/sales_report_dagster"
    assert (there / "plain [x].py").read_text() == "2"
    assert (first / "src/sales_report_dagster/plain [x].py").read_text() == "1"
    assert (there / "new/one.py").is_file()
    assert not (there / "old").exists()
    (by_git.module / "becomes/file").unlink()
    (by_git.module / "becomes").rmdir()
    (by_git.module / "becomes").touch()
    (by_git.module / ".gitattributes").write_text("plain* export-ignore\n")
    git(by_git.root, "add", "-A")
    git(by_git.root, "commit", "-qm", "third")
    by_git.deploy()
    current = (by_git.there / "current").resolve()
    assert (current / "becomes").is_file()
    assert not (current / "src/sales_report_dagster/plain [x].py").exists()
    assert not [path for path in current.rglob("*") if path.stat().st_mode & 0o222]


def test_preview_names_what_brings_the_commit(by_git: Site) -> None:
    by_git.deploy()
    set_value(by_git.module, 2)
    git(by_git.root, "commit", "-qam", "second")
    (found,) = preview(find(by_git.root, "yoda"))
    push, export = found["modules"]["sales-report"]["transfer"]
    commit = git(by_git.root, "rev-parse", "HEAD")
    assert push.startswith("git push --quiet --force ssh://")
    assert f"git ls-tree --full-tree {commit}:projects/sales-report | grep" in push
    assert push.endswith(':refs/heads/deployed"')
    tree = git(by_git.root, "rev-parse", "HEAD:projects/sales-report")
    assert shlex.split(export)[:3] == ["ssh", "-p", str(by_git.host.port)]
    assert f"archive {tree} -- src/sales_report_dagster/value.py | tar -x" in export
    settings(by_git, repository="https://git.example/sales.git", branch="main")
    (found,) = preview(find(by_git.root, "yoda"), allow_dirty=True)
    assert "fetch --quiet --no-tags --depth=1 -- https://git.example/sales.git +refs/heads/main" in str(
        found["modules"]
    )


def test_host_fetches_from_the_repository(by_git: Site, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    git(tmp_path, "init", "-q", "--bare", str(origin))
    git(by_git.root, "remote", "add", "origin", str(origin))
    settings(by_git, repository=str(origin), branch="main")
    with pytest.raises(RefusedError, match="on no remote"):
        by_git.deploy(allow_dirty=False)
    git(by_git.root, "push", "-q", "origin", "main")
    (first,) = by_git.deploy(allow_dirty=False)
    assert by_git.running() == first.releases["sales-report"]
    set_value(by_git.module, 2)
    git(by_git.root, "commit", "-qam", "second")
    with pytest.raises(BuilderError, match=r"Check that commit .* is pushed"):
        by_git.deploy(allow_dirty=True)
    assert by_git.running() == first.releases["sales-report"]
    git(by_git.root, "push", "-q", "origin", "main")
    # A person removes the branch there, which this machine does not know yet.
    git(origin, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(BuilderError, match=r"Check that commit .* is pushed"):
        by_git.deploy(allow_dirty=False)
    assert by_git.running() == by_git.current() == first.releases["sales-report"]
    assert by_git.releases() == [first.releases["sales-report"]]


def test_vanished_branch(by_git: Site) -> None:
    settings(by_git, branch="release")
    with pytest.raises(RefusedError, match="has no branch 'release'"):
        by_git.deploy()


def test_submodules_are_refused(by_git: Site, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    git(by_git.root, "submodule", "--quiet", "add", str(other), "projects/sales-report/vendor")
    git(by_git.root, "commit", "-qm", "with a submodule")
    with pytest.raises(RefusedError, match="is a submodule"):
        by_git.deploy()
    git(by_git.root, "submodule", "--quiet", "deinit", "--force", "--all")
    path = by_git.module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("strategy: git", "strategy: rsync"))
    with pytest.raises(RefusedError, match="is empty here"):
        by_git.deploy()


@pytest.mark.parametrize("strategy", ["git", "rsync"])
def test_lfs_pointers_are_refused(by_git: Site, strategy: str) -> None:
    (by_git.module / "big.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    git(by_git.root, "add", "-A")
    git(by_git.root, "commit", "-qm", "pointer")
    path = by_git.module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("strategy: git", f"strategy: {strategy}"))
    with pytest.raises(RefusedError, match=r"big.bin is a Git LFS pointer"):
        by_git.deploy()


def test_what_git_cannot_read_is_told_in_its_own_words(by_git: Site) -> None:
    (value,) = by_git.module.glob("src/*/value.py")
    name = git(by_git.root, "hash-object", str(value)).strip()
    (by_git.root / ".git/objects" / name[:2] / name[2:]).unlink()
    with pytest.raises(ToolError, match=rf"git cat-file: {name} missing"):
        by_git.deploy()


def test_links_that_lead_outside_are_refused(quick: Site) -> None:
    (quick.module / "outside").symlink_to("/etc/passwd")
    with pytest.raises(RefusedError, match="outside the module"):
        quick.deploy()


@pytest.mark.parametrize("rsync", [True, False])
def test_links_programs_and_odd_names_arrive(quick: Site, rsync: bool) -> None:
    """A link is what only rsync brings, the first time."""
    if not rsync:
        quick.deploy()
    (quick.module / "inside").symlink_to("src/sales_report_dagster/value.py")
    if not rsync:
        quick.deploy()
    (quick.module / "a name with 'quotes' $(x) ü\nand more").write_text("x")
    (quick.module / "run.sh").write_text("#!/bin/sh\n")
    (quick.module / "run.sh").chmod(0o755)
    quick.deploy()
    current = quick.there / "current"
    assert (current / "inside").readlink() == Path("src/sales_report_dagster/value.py")
    assert (current / "a name with 'quotes' $(x) ü\nand more").read_text() == "x"
    assert (current / "run.sh").stat().st_mode & 0o777 == 0o555


def test_file_that_changed_without_another_size_or_time(quick: Site) -> None:
    quick.deploy()
    (path,) = quick.module.glob("src/*/value.py")
    before = path.stat()
    set_value(quick.module, 7)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    quick.deploy()
    assert "VALUE = 7" in (quick.there / "current/src/sales_report_dagster/value.py").read_text()


def test_what_is_alike_is_shared_whatever_its_times_say(quick: Site) -> None:
    """As after a fresh checkout, in which every file is new."""
    quick.deploy()
    first = (quick.there / "current").resolve()
    before = quick.host.commands()
    for path in quick.module.rglob("*"):
        os.utime(path)
    quick.deploy()
    second = (quick.there / "current").resolve()
    inside = {path.relative_to(first) for path in first.rglob("*") if path.is_file()} - {*map(Path, OWN_FILES)}
    assert {path for path in inside if (first / path).stat().st_ino != (second / path).stat().st_ino} == set()
    # The conversation, and perhaps the connection for files, which nothing went over.
    assert quick.host.commands() - before <= 2


def test_what_was_changed_on_the_host_is_not_shared(quick: Site) -> None:
    quick.deploy()
    there = quick.there / "current/src/sales_report_dagster/value.py"
    content = there.read_bytes()
    there.chmod(0o644)
    there.write_bytes(b"VALUE = 'another'\n")
    (quick.there / "current/pyproject.toml").unlink()
    quick.deploy()
    assert there.read_bytes() == content
    assert (quick.there / "current/pyproject.toml").is_file()


def test_exactly_what_is_excluded_stays(quick: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are patterns to rsync are only names."""
    by_rsync(monkeypatch)
    left_out = ["x*.skip", "w\\[1].skip", "back\\slash.skip", "a?", "new\nline.skip"]
    taken = ["xy.skip", "w1.skip", "w\\1.skip", "backslash.skip", "ab", "deep/a?"]
    for name in [*left_out, *taken]:
        (quick.module / name).parent.mkdir(exist_ok=True)
        (quick.module / name).write_text(name)
    settings(quick, "rsync", exclude=["/x[*].skip", "/w\\[[]1].skip", "back?slash.skip", "/a[?]", "new*"])
    quick.deploy()
    there = {path.name for path in (quick.there / "current").resolve().iterdir()}
    assert not there & {*left_out}
    assert {path for path in taken if not (quick.there / "current" / path).is_file()} == set()
    # The conversation, the connection for files, and one transfer: nothing had to be sent again.
    assert quick.host.commands() == 3


def test_first_release_arrives_in_the_conversation(quick: Site) -> None:
    """In several requests, over one connection."""
    contents = {f"data/{number // 50}/{number}.bin": os.urandom(5_000) for number in range(200)}
    contents |= {"empty": b"", "a/b/c/d/e": b"deep", "blank \n '\"\\ü": b"\0"}
    for name, content in contents.items():
        (quick.module / name).parent.mkdir(parents=True, exist_ok=True)
        (quick.module / name).write_bytes(content)
    (quick.module / "program").write_text("#!/bin/sh\n")
    (quick.module / "program").chmod(0o755)
    quick.deploy()
    there = quick.there / "current"
    assert {name: (there / name).read_bytes() for name in contents} == contents
    assert {stat.S_IMODE((there / name).stat().st_mode) for name in contents} == {0o444}
    assert stat.S_IMODE((there / "program").stat().st_mode) == 0o555
    assert quick.host.commands() == quick.host.connections() == 1


@pytest.mark.parametrize("rsync", [True, False])
def test_file_made_while_the_others_travel_is_no_part(
    quick: Site, monkeypatch: pytest.MonkeyPatch, rsync: bool
) -> None:
    if rsync:
        by_rsync(monkeypatch)
    new = quick.module / "src/new.py"
    deploy(find(quick.root, "yoda"), OPTIONS, lambda _, step: new.touch() if step == "transfer" else None)
    assert (quick.there / "current/src/sales_report_dagster/value.py").is_file()
    assert not (quick.there / "current/src/new.py").exists()


@pytest.mark.parametrize("strategy", ["rsync", "git"])
def test_base_path_with_blanks_and_quotes(by_git: Site, strategy: str) -> None:
    quick = by_git
    base = quick.host.folder / "a 'b' \"c\" $(touch oops) ü"
    quick.host.base.rename(base)
    path = quick.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["base_path"] = f"~/{base.name}"
    data["strategy"] = strategy
    path.write_text(yaml.safe_dump(data))
    quick.dagster.base = base
    (outcome,) = quick.deploy()
    quick.deploy()
    assert (base / "modules/sales-report/releases" / outcome.releases["sales-report"]).is_dir()
    assert not list(quick.host.folder.rglob("oops"))


STEPS = """
import io, tarfile
from dagster_module_builder.deploy.model.release import ReleaseSource, stage_folder
from dagster_module_builder.deploy.strategies.base import Strategy

class Tar(Strategy):
    tools_there = ("tar",)

    def stage(self, module, own, *, allow_dirty):
        return stage_folder(module, [".env*", "deploy", "__pycache__"], ReleaseSource())

    def transfer(self, module, own, staged, release_folder):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for path in staged.paths:
                archive.add(module / path, path)
        release_folder.run("tar", "-xzf", "-", "-C", release_folder.path, stdin=packed.getvalue())
"""


def test_strategy_made_up_on_the_spot(quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "strategies/tar"
    folder.mkdir(parents=True)
    (folder / "cookiecutter.json").write_text('{"deployment": "x"}')
    (folder / "schema.json").write_text('{"properties": {"tar": {"type": "object", "required": ["level"]}}}')
    (folder / "steps.py").write_text(STEPS)
    monkeypatch.setenv("DAGSTER_MODULE_BUILDER_STRATEGIES", str(folder.parent))
    path = quick.module / "deploy/yoda/deployment.yaml"
    path.write_text(path.read_text().replace("strategy: rsync", "strategy: tar\ntar: {}"))
    with pytest.raises(RefusedError, match="tar must contain"):
        find(quick.root, "yoda")
    path.write_text(path.read_text().replace("tar: {}", "tar: {level: 1}"))
    (outcome,) = quick.deploy()
    assert quick.running() == outcome.releases["sales-report"]
    before = quick.host.connections()
    quick.deploy()
    assert quick.host.connections() - before == 1
    assert "deploy_strategies.steps_of_tar" in sys.modules

"""What Git knows of a module's folder: asked through one door, which tells "Git says no" from "Git failed"."""

from __future__ import annotations

import functools
import os
import re
import shutil
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.programs import git_program

#: A commit's name as Git writes it (SHA-1 or SHA-256): nothing else that a host says becomes an argument.
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: Seconds for Git to say whether a folder is a repository.
DISCOVERY = 60.0
_SUBMODULE = "160000"


@dataclass(frozen=True, eq=False)
class Repository:
    """A folder in a repository, as Git sees it without the repository's own settings.

    Attributes:
        folder: The folder that was asked about, without links.
        top: The root of the working tree.
        common: Its Git directory, where the objects are.
        view: The private Git directory through which it is read.
    """

    folder: Path
    top: Path
    common: Path
    view: Path

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.view, ignore_errors=True)

    @property
    def prefix(self) -> str:
        """The folder's path in the repository; empty where it is the root."""
        inside = self.folder.relative_to(self.top).as_posix()
        return "" if inside == "." else inside

    @property
    def is_shallow(self) -> bool:
        """Whether the history here is cut off."""
        path = self.common / "shallow"
        return path.is_file() and path.stat().st_size > 0

    def git_bytes(
        self,
        *arguments: str,
        fine: tuple[int, ...] = (0,),
        given: bytes | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return what a Git command writes; it is started in the folder.

        Raises:
            ToolError: It failed, with Git's own words.
        """
        where = {"GIT_DIR": str(self.view), "GIT_WORK_TREE": str(self.top), **(environ or {})}
        return git_program.run(self.folder, *arguments, fine=fine, given=given, environ=where).out

    def git(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        """Return what a Git command says; it raises as ``git_bytes`` does."""
        return self.git_bytes(*arguments, fine=fine).decode("utf-8", "surrogateescape").rstrip("\n")

    def listed(self, *arguments: str) -> list[str]:
        """Return the items that a Git command separates by NUL; it raises as ``git_bytes`` does."""
        said = self.git_bytes(*arguments).decode("utf-8", "surrogateescape")
        return [item for item in said.split("\0") if item]

    def commit(self, name: str = "HEAD") -> str | None:
        """Return the commit that a name stands for, or None; it raises as ``git_bytes`` does."""
        wanted = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return self.git(*wanted, fine=(0, 1)) or None

    @property
    def branch(self) -> str | None:
        """The branch that is checked out, or None."""
        head = (self.view / "HEAD").read_text("utf-8", "surrogateescape").strip()
        name = head.removeprefix("ref: refs/heads/")
        # gitrepository-layout(5): where refs are in tables, the file only says so.
        if name == ".invalid":
            return self.git("symbolic-ref", "--quiet", "--short", "HEAD", fine=(0, 1)) or None
        return None if name == head else name

    @property
    def has_remotes(self) -> bool:
        """Whether there is anywhere to push to."""
        return b'[remote "' in (self.view / "config").read_bytes()

    def changed(self, folder: Path | None = None) -> list[str]:
        """Return the paths below a folder, from the root, that differ from the commit, submodules included.

        Args:
            folder: The folder; the one that was asked about when None.
        """
        where = str(folder or self.folder)
        # Git would look into a submodule with that one's settings.
        status = ("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--ignore-submodules=dirty")
        paths = [item[3:] for item in self.listed(*status, "--", where)]
        return [*paths, *self._changed_in_submodules(folder or self.folder)]

    def _changed_in_submodules(self, folder: Path) -> Iterator[str]:
        for path in self.submodules:
            if not (self.top / path).is_relative_to(folder):
                continue
            inner = find(self.top / path) if (self.top / path / ".git").exists() else None
            if inner is not None:
                yield from (f"{path}/{name}" for name in inner.changed(inner.top))

    @functools.cached_property
    def submodules(self) -> list[str]:
        """The paths of the submodules below the folder, from the root."""
        items = (item.partition("\t") for item in self.listed("ls-files", "--stage", "--full-name", "-z", "--", "."))
        return [path for head, _, path in items if head.startswith(_SUBMODULE)]

    def is_pushed(self, commit: str) -> bool:
        """Tell whether a remote is known to have a commit; a repository without remotes has nowhere to push to."""
        on_remotes = ("branch", "--remotes", "--contains", commit, "--format=%(refname)")
        return not self.has_remotes or bool(self.git(*on_remotes))


def find(folder: Path) -> Repository | None:
    """Return the repository that a folder is in; None where it is in none.

    Raises:
        ToolError: Git cannot say: it is missing, refuses the repository (its files are another user's, say), or
            what is there is damaged. Git's own words tell why.
    """
    folder = folder.resolve()
    entry = _entry(folder)
    if entry is None:
        return None
    own = _git_directory(folder, entry)
    pointer = own / "commondir"
    common = (own / pointer.read_text().rstrip("\n")).resolve() if pointer.is_file() else own
    try:
        return Repository(folder, entry.parent, common, git_program.private_directory(common, own))
    except OSError as error:
        raise ToolError(f"git cannot read {error.filename or own}: {error.strerror}.") from None


def _entry(folder: Path) -> Path | None:
    """Return the ``.git`` that Git comes upon first, on the file system of the folder."""
    try:
        device = folder.stat().st_dev
        for parent in (folder, *folder.parents):
            if parent.stat().st_dev != device and not os.environ.get("GIT_DISCOVERY_ACROSS_FILESYSTEM"):
                return None
            if os.path.lexists(parent / ".git"):
                return parent / ".git"
    except OSError as error:
        raise ToolError(f"git cannot read {error.filename}: {error.strerror}.") from None
    return None


def _git_directory(folder: Path, entry: Path) -> Path:
    """Return the Git directory behind an entry; Git itself judges whose it is, and whether it is whole."""
    damaged = f"Git does not take {entry} for a repository: repair it, or remove it."
    try:
        said = git_program.run(folder, "rev-parse", "--absolute-git-dir", limit=DISCOVERY).out
    except ToolError as error:
        raise ToolError(f"{error}\n{damaged}" if "not a git repository" in str(error) else str(error)) from None
    own = Path(os.fsdecode(said).removesuffix("\n")).resolve()
    pointed = entry.read_text("utf-8", "surrogateescape") if entry.is_file() else ""
    expected = entry.parent / pointed.removeprefix("gitdir:").strip() if pointed else entry
    if own != expected.resolve():
        raise ToolError(damaged)
    return own


def needed(folder: Path) -> Repository:
    """Return the repository that a folder is in; it raises as ``find`` does.

    Raises:
        RefusedError: It is in none.
    """
    repository = find(folder)
    if repository is None:
        raise RefusedError(f"{folder} is in no git repository: create one with 'git init', and commit.")
    return repository


def top(folder: Path) -> Path | None:
    """Return the root of the repository that a folder is in, or None; it raises as ``find`` does."""
    repository = find(folder)
    return None if repository is None else repository.top


def uncommitted(folder: Path, changed: list[str], way_out: str) -> str:
    """Say which changes no commit has; empty where there are none."""
    first = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return f"{folder} has changes that are not committed ({first}). {way_out}" if changed else ""


def refuse_uncommitted(folder: Path, changed: list[str], way_out: str) -> None:
    """Refuse a tree with changes that no commit has."""
    if said := uncommitted(folder, changed, way_out):
        raise RefusedError(said)


def commits_since(folder: Path, old: str | None, new: str | None) -> list[str]:
    """Return the commits from one to another that touch a folder, newest first; [] where they are not known here.

    Args:
        folder: The folder.
        old: What a host says that it has: any text.
        new: A commit.
    """
    named = [name for name in (old, new) if name and COMMIT.fullmatch(name)]
    repository = find(folder) if len(set(named)) == 2 else None
    if repository is None or not all(repository.commit(name) for name in named):
        return []
    log = ("log", "--format=%h %an: %s", "--end-of-options", "..".join(named), "--", ".")
    return repository.git(*log).splitlines()

"""What Git knows about a module's folder."""

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

#: A commit's hash (SHA-1 or SHA-256): nothing else in a host's answer is used as an argument.
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: How long Git may take to find a folder's repository, in seconds.
DISCOVERY = 60.0
_SUBMODULE = "160000"


@dataclass(frozen=True, eq=False)
class Repository:
    """A folder in a repository, read without the repository's settings.

    Attributes:
        folder: The folder, without links.
        top: The root of the working tree.
        common: Its Git directory with the objects.
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
        """The folder's path in the repository; empty if it is the root."""
        inside = self.folder.relative_to(self.top).as_posix()
        return "" if inside == "." else inside

    @property
    def is_shallow(self) -> bool:
        """Whether the repository is a shallow clone."""
        path = self.common / "shallow"
        return path.is_file() and path.stat().st_size > 0

    def git_bytes(
        self,
        *arguments: str,
        fine: tuple[int, ...] = (0,),
        stdin: bytes | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the output of a Git command that runs in the folder.

        Raises:
            ToolError: It failed; the error quotes Git.
        """
        where = {"GIT_DIR": str(self.view), "GIT_WORK_TREE": str(self.top), **(environ or {})}
        return git_program.run(self.folder, *arguments, fine=fine, stdin=stdin, environ=where).out

    def git(self, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
        """Return the output of a Git command as text; it raises as ``git_bytes`` does."""
        return self.git_bytes(*arguments, fine=fine).decode("utf-8", "surrogateescape").rstrip("\n")

    def listed(self, *arguments: str) -> list[str]:
        """Return the NUL-separated items of a Git command's output; it raises as ``git_bytes`` does."""
        output = self.git_bytes(*arguments).decode("utf-8", "surrogateescape")
        return [item for item in output.split("\0") if item]

    def commit(self, name: str = "HEAD") -> str | None:
        """Return the hash of a named commit, or None; it raises as ``git_bytes`` does."""
        wanted = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return self.git(*wanted, fine=(0, 1)) or None

    @property
    def branch(self) -> str | None:
        """The branch that is checked out, or None."""
        head = (self.view / "HEAD").read_text("utf-8", "surrogateescape").strip()
        name = head.removeprefix("ref: refs/heads/")
        # gitrepository-layout(5): with reftable, HEAD has only this placeholder.
        if name == ".invalid":
            return self.git("symbolic-ref", "--quiet", "--short", "HEAD", fine=(0, 1)) or None
        return None if name == head else name

    @property
    def has_remotes(self) -> bool:
        """Whether the repository has remotes."""
        return b'[remote "' in (self.view / "config").read_bytes()

    def changed(self, folder: Path | None = None) -> list[str]:
        """Return the changed paths in a folder, relative to the root, including those in submodules.

        Args:
            folder: The folder; None for the repository's ``folder``.
        """
        where = str(folder or self.folder)
        # Git itself would read a submodule with the submodule's settings.
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
        """The paths of the submodules in the folder, relative to the root."""
        items = (item.partition("\t") for item in self.listed("ls-files", "--stage", "--full-name", "-z", "--", "."))
        return [path for head, _, path in items if head.startswith(_SUBMODULE)]

    def is_pushed(self, commit: str) -> bool:
        """Return whether a remote is known to have a commit, or the repository has no remotes."""
        on_remotes = ("branch", "--remotes", "--contains", commit, "--format=%(refname)")
        return not self.has_remotes or bool(self.git(*on_remotes))


def find(folder: Path) -> Repository | None:
    """Return the repository of a folder, or None.

    Raises:
        ToolError: Git is not installed, refuses the repository (its files may be another user's), or the repository is
            damaged; the error quotes Git.
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
    """Return the ``.git`` that Git finds first, on the file system of the folder."""
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
    """Return the Git directory of an entry ``.git``; Git itself checks its owner and that it is complete."""
    damaged = f"Git does not accept {entry} as a repository. Repair it, or remove it."
    try:
        output = git_program.run(folder, "rev-parse", "--absolute-git-dir", limit=DISCOVERY).out
    except ToolError as error:
        raise ToolError(f"{error}\n{damaged}" if "not a git repository" in str(error) else str(error)) from None
    own = Path(os.fsdecode(output).removesuffix("\n")).resolve()
    pointed = entry.read_text("utf-8", "surrogateescape") if entry.is_file() else ""
    expected = entry.parent / pointed.removeprefix("gitdir:").strip() if pointed else entry
    if own != expected.resolve():
        raise ToolError(damaged)
    return own


def needed(folder: Path) -> Repository:
    """Return the repository of a folder; it raises as ``find`` does.

    Raises:
        RefusedError: It has none.
    """
    repository = find(folder)
    if repository is None:
        raise RefusedError(f"{folder} is not in a git repository. Create one with 'git init', and commit.")
    return repository


def top(folder: Path) -> Path | None:
    """Return the root of a folder's repository, or None; it raises as ``find`` does."""
    repository = find(folder)
    return None if repository is None else repository.top


def uncommitted(folder: Path, changed: list[str], way_out: str) -> str:
    """Return a message about uncommitted changes, empty if there are none."""
    first = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return f"{folder} has changes that are not committed ({first}). {way_out}" if changed else ""


def refuse_uncommitted(folder: Path, changed: list[str], way_out: str) -> None:
    """Refuse uncommitted changes."""
    if message := uncommitted(folder, changed, way_out):
        raise RefusedError(message)


def commits_since(folder: Path, old: str | None, new: str | None) -> list[str]:
    """Return the commits between two that touch a folder, newest first; [] if the two are not known here.

    Args:
        folder: The folder.
        old: The commit according to a host: any text.
        new: A commit.
    """
    named = [name for name in (old, new) if name and COMMIT.fullmatch(name)]
    repository = find(folder) if len(set(named)) == 2 else None
    if repository is None or not all(repository.commit(name) for name in named):
        return []
    log = ("log", "--format=%h %an: %s", "--end-of-options", "..".join(named), "--", ".")
    return repository.git(*log).splitlines()

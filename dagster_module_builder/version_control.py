"""What Git knows of a module's folder."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dagster_module_builder.deployments.release import Source
from dagster_module_builder.errors import RefusedError, ToolError


def git(folder: Path, *arguments: str, fine: tuple[int, ...] = (0,)) -> str:
    """Return what a Git command says.

    Raises:
        ToolError: It failed, with Git's own words.
    """
    answer = git_bytes(folder, *arguments, fine=fine)
    return answer.decode("utf-8", "surrogateescape").rstrip("\n")


def git_bytes(
    folder: Path, *arguments: str, fine: tuple[int, ...] = (0,), environ: dict[str, str] | None = None
) -> bytes:
    """Return what a Git command writes."""
    return git_outcome(folder, *arguments, fine=fine, environ=environ)[1]


def git_outcome(
    folder: Path, *arguments: str, fine: tuple[int, ...] = (0,), environ: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Return the exit status of a Git command, where it says something, and what the command writes."""
    settings = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(environ or {})}
    try:
        answer = subprocess.run(["git", *arguments], cwd=folder, env=settings, capture_output=True, check=False)
    except FileNotFoundError:
        raise ToolError("git is not installed here.") from None
    if answer.returncode not in fine:
        raise ToolError(f"git {arguments[0]}: {answer.stderr.decode('utf-8', 'replace').strip()}")
    return answer.returncode, answer.stdout


def top(folder: Path) -> Path | None:
    """Return the root of the repository that a folder is in, or None."""
    try:
        return Path(git(folder, "rev-parse", "--show-toplevel"))
    except ToolError:
        return None


def source_of(folder: Path, *, allow_dirty: bool) -> Source:
    """Return the commit that a folder's files are of.

    Raises:
        RefusedError: There is something that no commit, or no remote, has, and ``allow_dirty`` is not given.
    """
    repository = top(folder)
    commit = repository and git(folder, "rev-parse", "--verify", "--quiet", "HEAD", fine=(0, 1))
    if not repository or not commit:
        return Source()
    branch = git(folder, "symbolic-ref", "--quiet", "--short", "HEAD", fine=(0, 1)) or None
    changed = git(folder, "status", "--porcelain", "--untracked-files=all", "--ignore-submodules=none", "--", ".")
    refuse_uncommitted(folder, changed, allow_dirty=allow_dirty)
    refuse_unpushed(folder, commit, allow_dirty=allow_dirty)
    # Git asks a shell script, which takes longer than everything above.
    if (repository / ".gitmodules").is_file():
        refuse_missing_submodules(folder)
    return Source(commit, branch, dirty=bool(changed))


def refuse_uncommitted(folder: Path, changed: str, *, allow_dirty: bool) -> None:
    """Refuse a tree with changes that no commit has."""
    if changed and not allow_dirty:
        first = ", ".join(line[3:] for line in changed.splitlines()[:3])
        raise RefusedError(
            f"{folder} has changes that are not committed ({first}): commit them, "
            f"or give --allow-dirty, which is recorded."
        )


def refuse_unpushed(folder: Path, commit: str, *, allow_dirty: bool) -> None:
    """Refuse a commit that only this machine has, where there are remotes."""
    if allow_dirty or not git(folder, "remote"):
        return
    if not git(folder, "branch", "--remotes", "--contains", commit):
        raise RefusedError(
            f"Commit {commit[:8]} of {folder} is on no remote: push it, or give --allow-dirty, which is recorded."
        )


def refuse_missing_submodules(folder: Path) -> None:
    """Refuse submodules that are empty folders here."""
    missing = [
        line.split()[1] for line in git(folder, "submodule", "status", "--", ".").splitlines() if line.startswith("-")
    ]
    if missing:
        raise RefusedError(
            f"The submodule {missing[0]} of {folder} is empty here: run 'git submodule update --init', or take it out."
        )


def commits_since(folder: Path, old: str | None, new: str | None) -> list[str]:
    """Return the commits from one to another that touch a folder, newest first; [] where Git cannot tell."""
    if not old or not new or old == new:
        return []
    try:
        return git(folder, "log", "--format=%h %an: %s", f"{old}..{new}", "--", ".").splitlines()
    except ToolError:
        return []

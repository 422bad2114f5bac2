"""What a new pipeline needs to know about a module's repository: default branch, submodules, files of Git LFS."""

from __future__ import annotations

import re
from pathlib import Path

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import git_program
from dagster_module_builder.programs.version_control import Repository, find
from dagster_module_builder.transactions import module_files

#: Seconds to wait for a remote's answer.
REMOTE_LIMIT = 15.0


def main_branch(module: Path) -> str | None:
    """Return the default branch of a module's repository; None if neither it nor its remote tells.

    The current branch does not count: pipelines are often written on a feature branch.
    """
    repository = find(module)
    if repository is None:
        return None
    remote = repository.git("symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD", fine=(0, 1))
    return remote.partition("/")[2] or _asked_of_remote(repository) or _branch_without_remote(repository)


def _asked_of_remote(repository: Repository) -> str | None:
    """Return the default branch of ``origin``; None if there is no such remote, or it does not answer."""
    # git-remote(1): 2 means that there is no such remote.
    if not repository.git("remote", "get-url", "origin", fine=(0, 2)):
        return None
    environ = {
        "GIT_DIR": str(repository.view),
        "GIT_ALLOW_PROTOCOL": "ssh:https:file",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    }
    ask = ("ls-remote", "--symref", "--", "origin", "HEAD")
    try:
        said = git_program.run(repository.folder, *ask, environ=environ, limit=REMOTE_LIMIT).out
    except ToolError:
        return None
    # git-ls-remote(1): "ref: refs/heads/main<TAB>HEAD".
    head = re.search(r"^ref: refs/heads/(\S+)\tHEAD$", said.decode("utf-8", "replace"), re.MULTILINE)
    return head[1] if head else None


def _branch_without_remote(repository: Repository) -> str | None:
    """Return the branch with a usual name, or the only branch of a repository without a remote; else None."""
    named = repository.git("for-each-ref", "--format=%(refname)", "refs/heads", "refs/remotes/origin").splitlines()
    short = [re.sub(r"^refs/(heads|remotes/origin)/", "", name) for name in named]
    usual = next((name for name in ("main", "master", "trunk") if name in short), None)
    only = repository.branch if not repository.has_remotes and len(short) < 2 else None
    return usual or only


def contents(module: Path) -> dict[str, str]:
    """Return the answers whether the jobs need submodules and files of Git LFS: ``{"submodules": "no", …}``."""
    repository = find(module)
    if repository is None:
        return {}
    inside = [
        folder for folder in (repository.folder, *repository.folder.parents) if folder.is_relative_to(repository.top)
    ]
    texts = [module_files.read(repository.top, folder / ".gitattributes") or b"" for folder in inside]
    has_submodules = (repository.top / ".gitmodules").is_file()
    has_lfs = any(b"filter=lfs" in text for text in texts)
    return {"submodules": "yes" if has_submodules else "no", "lfs": "yes" if has_lfs else "no"}

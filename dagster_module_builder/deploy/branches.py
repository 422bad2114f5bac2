"""What Git knows of the branches of a module: which repository it is, and which of them are merged or gone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError, ToolError
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.pipelines.repositories import REMOTE_LIMIT, main_branch
from dagster_module_builder.programs import git_program
from dagster_module_builder.programs.version_control import Repository, find


def repository_of(module: Path) -> Repository:
    """Return the repository of a module.

    Raises:
        RefusedError: It has none.
    """
    repository = find(module)
    if repository is None:
        raise RefusedError(f"{module} is not in a git repository, and so has no branches: make one, and commit.")
    return repository


def identity_of(repository: Repository) -> str:
    """Return the same name for all clones of a repository: ``acme/sales``, or its folder's name without a remote."""
    # git-remote(1): 2 means that there is no such remote.
    url = repository.git("remote", "get-url", "origin", fine=(0, 2)).rstrip("/").removesuffix(".git")
    parts = [part for part in re.split(r"[/:\\]+", url) if part]
    return "/".join(parts[-2:]) if len(parts) > 1 else repository.top.name


def current_branch(deployments: Sequence[Deployment]) -> str | None:
    """Return the branch that is checked out; None if none is, or the modules have different ones."""
    found = {repository_of(deployment.module).branch for deployment in deployments}
    return found.pop() if len(found) == 1 else None


def commit_of(repository: Repository, branch: str) -> str | None:
    """Return the commit of a branch, here or as ``origin`` was last seen; None without such a branch."""
    names = (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}")
    return next(filter(None, map(repository.commit, names)), None)


def with_branch(deployments: Sequence[Deployment], branch: str) -> list[Deployment]:
    """Return the deployments whose module has a branch.

    Raises:
        RefusedError: None has, or they are in different repositories.
    """
    found = [(each, repository_of(each.module)) for each in deployments]
    having = [(each, repository) for each, repository in found if commit_of(repository, branch)]
    if not having:
        raise RefusedError(f"There is no branch {branch!r} in {found[0][1].top}: fetch it, or correct its name.")
    if len({repository.top for _, repository in having}) > 1:
        names = ", ".join(each.names.name for each, _ in having)
        raise RefusedError(f"{names} are in different repositories, which all have {branch!r}: pass --module with one.")
    return [each for each, _ in having]


def on_remote(repository: Repository) -> dict[str, str] | None:
    """Return the commit of each branch of ``origin``, as it is now; None without a remote.

    Raises:
        ToolError: It does not answer.
    """
    if not repository.git("remote", "get-url", "origin", fine=(0, 2)):
        return None
    environ = {
        "GIT_DIR": str(repository.view),
        "GIT_ALLOW_PROTOCOL": "ssh:https:file",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    }
    ask = ("ls-remote", "--heads", "--", "origin")
    said = git_program.run(repository.folder, *ask, environ=environ, limit=REMOTE_LIMIT).out.decode("utf-8", "replace")
    pairs = (line.partition("\trefs/heads/") for line in said.splitlines())
    return {name: commit for commit, found, name in pairs if found}


def finished(module: Path, records: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """Return the previews whose branch is merged or gone.

    A branch is gone if it was on the remote and is not there any more; one that never was there is left to its age.

    Args:
        module: The module.
        records: What the files of the previews say (``branch``, ``pushed``).

    Raises:
        ToolError: The remote does not answer: nothing is taken for gone then.
    """
    repository = repository_of(module)
    main = main_branch(module)
    remote = on_remote(repository)
    here = None if remote is not None else _local(repository)
    branches = here if remote is None else remote
    return [record for record in records if _is_finished(repository, main, branches or {}, record, here is not None)]


def _local(repository: Repository) -> dict[str, str]:
    listed = repository.git("for-each-ref", "--format=%(objectname) %(refname:strip=2)", "refs/heads").splitlines()
    return {name: commit for commit, _, name in (line.partition(" ") for line in listed)}


def _is_finished(
    repository: Repository, main: str | None, branches: Mapping[str, str], record: Mapping[str, str], local: bool
) -> bool:
    tip = branches.get(record["branch"])
    if tip is None:
        return local or bool(record.get("pushed"))
    top = branches.get(main or "")
    if top is None or record["branch"] == main:
        return False
    return _is_ancestor(repository, tip, top) and _is_ancestor(repository, record["commit"], top)


def _is_ancestor(repository: Repository, commit: str, top: str) -> bool:
    if not (repository.commit(commit) and repository.commit(top)):
        return False
    try:
        repository.git("merge-base", "--is-ancestor", commit, top)
    except ToolError:
        return False
    return True


def changes_of(module: Path, branch: str, base: str | None) -> tuple[str | None, list[str], list[str]]:
    """Return what a branch changes of a module.

    Args:
        module: The module.
        branch: The branch.
        base: The branch that it will be merged into; None for the repository's main one.

    Returns:
        The commit that they have in common, None if it is not known; the commits since, newest first; and the changed
        files, each with a sign (``~ src/sales.py``).
    """
    repository = repository_of(module)
    main = base or main_branch(module)
    ends = [commit_of(repository, name) for name in (main or "", branch)]
    if not all(ends):
        return None, [], []
    common = repository.git("merge-base", str(ends[0]), str(ends[1]), fine=(0, 1, 128)) or None
    if common is None:
        return None, [], []
    span = f"{common}..{ends[1]}"
    commits = repository.git("log", "--format=%h %an: %s", span, "--", ".").splitlines()
    parts = repository.listed("diff", "--name-status", "--no-renames", "-z", "--relative", span, "--", ".")
    signs = {"A": "+", "D": "-"}
    files = [f"{signs.get(kind[:1], '~')} {path}" for kind, path in zip(parts[::2], parts[1::2], strict=False)]
    return common, commits, files

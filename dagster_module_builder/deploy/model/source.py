"""The commit of a release, and what must not be released; ``deploy``, its dry run and its check all ask here."""

from __future__ import annotations

import shlex
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.model.deployment import DEPLOYMENTS, FILE, Deployment
from dagster_module_builder.deploy.model.host_settings import ENV
from dagster_module_builder.deploy.model.release import ReleaseSource
from dagster_module_builder.programs.version_control import Repository, find, refuse_uncommitted

WAY_OUT = "Commit them, or pass --allow-dirty, which the release records."


def source_of(deployment: Deployment, folder: Path, *, allow_dirty: bool) -> ReleaseSource:
    """Return the commit that a folder's files come from.

    Args:
        deployment: What is released.
        folder: The folder that the files are taken from: the module's, or one above it.
        allow_dirty: Accept changes that are not committed or not pushed.

    Raises:
        RefusedError: Something is not committed or not pushed, and ``allow_dirty`` is not given.
        ToolError: Git failed.
    """
    repository = find(folder)
    commit = repository and repository.commit()
    if not repository or not commit:
        return ReleaseSource()
    changed = changes(deployment, repository)
    if not allow_dirty:
        refuse_uncommitted(folder, changed, WAY_OUT)
        refuse_unpushed(repository, commit)
    _refuse_missing_submodules(repository)
    return ReleaseSource(commit, repository.branch, dirty=bool(changed))


def changes(deployment: Deployment, repository: Repository) -> list[str]:
    """Return the uncommitted paths, without those of the module's other deployments, which are in no release.

    Args:
        deployment: What is released.
        repository: The repository of the folder that its files are taken from.
    """
    module = deployment.module.resolve().relative_to(repository.top)
    theirs, own = module / DEPLOYMENTS, module / DEPLOYMENTS / deployment.name
    paths = [(path, Path(path)) for path in repository.changed()]
    return [text for text, path in paths if not path.is_relative_to(theirs) or path.is_relative_to(own)]


def refuse_unpushed(repository: Repository, commit: str) -> None:
    """Refuse a commit that is on no remote, if there are remotes."""
    if repository.is_pushed(commit):
        return
    problem = f"Commit {commit[:8]} of {repository.folder} is on no remote"
    if repository.is_shallow:
        raise RefusedError(
            f"{problem}, as far as this shallow clone knows. Run 'git fetch --unshallow', and push the commit if it is "
            f"still refused; or pass --allow-dirty, which the release records."
        )
    raise RefusedError(f"{problem}: push it, or pass --allow-dirty, which the release records.")


def _refuse_missing_submodules(repository: Repository) -> None:
    for path in repository.submodules:
        if not (repository.top / path / ".git").exists():
            raise RefusedError(
                f"The submodule {path} of {repository.top} is empty here: "
                f"run 'git submodule update --init', or remove it."
            )


def is_of_another(deployment: Deployment, path: Path) -> bool:
    """Tell whether a file belongs to another deployment, of any module.

    Args:
        deployment: What is released.
        path: The file.
    """
    folders = (parent for parent in path.parents if parent.parent.name == DEPLOYMENTS)
    return any(folder != deployment.folder and (folder / FILE).is_file() for folder in folders)


def to_commit(deployment: Deployment) -> list[str]:
    """Return the commands that commit and push a deployment's own files; empty if there is nothing to commit.

    Settings with secrets are left out, whether Git ignores them or not.
    """
    repository = find(deployment.module)
    if repository is None:
        return []
    changed = [repository.top / path for path in repository.changed(deployment.folder.parent)]
    own = {deployment.folder.resolve(), deployment.folder.parent.resolve()}
    mine = [path for path in changed if own & {path.parent} and path.name != ENV]
    if not mine:
        return []
    inside = f"git -C {shlex.quote(str(deployment.module))}"
    names = shlex.join(str(path.relative_to(deployment.module.resolve())) for path in sorted(mine))
    commands = [f"{inside} add {names}", f"{inside} commit -m {shlex.quote(f'Deployment {deployment.name}')}"]
    return [*commands, *([f"{inside} push"] if repository.has_remotes else [])]

"""The names that a task or a flag can be given: modules, deployments, releases, backups, values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import layout_of

Names = Callable[[Path], Sequence[str]]


def modules(root: Path) -> Sequence[str]:
    """Return the modules in the workspace and those that could be added."""
    return [*integrated(root), *addable(root)]


def integrated(root: Path) -> Sequence[str]:
    """Return the modules in the workspace."""
    from dagster_module_builder.workspaces.listing import listing

    return [module.name for module in listing(root) if module.integrated]


def addable(root: Path) -> Sequence[str]:
    """Return the modules in the folders of modules that are not in the workspace."""
    from dagster_module_builder.workspaces.listing import listing

    return [module.name for module in listing(root) if not module.integrated]


def deployments(root: Path) -> Sequence[str]:
    """Return the deployments of all modules."""
    from dagster_module_builder.deploy.model.deployment import all_deployments

    return sorted({folder.name for folder in all_deployments(root)})


def backups(root: Path) -> Sequence[str]:
    """Return the ids of the backups, the newest first."""
    from dagster_module_builder.transactions.backups import backup_ids

    return backup_ids(root)[::-1]


def releases(root: Path, deployment: str) -> Sequence[str]:
    """Return the releases on the hosts of a deployment, the newest first; the hosts are asked."""
    from dagster_module_builder.deploy.model.deployment import find
    from dagster_module_builder.deploy.status import releases as releases_on_hosts

    found = releases_on_hosts(find(root, deployment))
    modules = [module for host in found for module in host.get("modules", {}).values()]
    useful = [release for module in modules for release in module if release["role"] not in {"bad", "current"}]
    return sorted({str(release["release"]) for release in useful}, reverse=True)


#: What the first argument of each task names: the word for it, and the names there are.
OF_TASKS: Mapping[str, tuple[str, Names]] = {
    "workspace.add": ("module", addable),
    "workspace.remove": ("module", integrated),
    "workspace.materialize": ("module", modules),
    "workspace.restore": ("backup", backups),
    "audit": ("module", modules),
    "upgrade": ("module", modules),
    "configure-deployment": ("module", modules),
}
#: What the flags of all tasks take.
OF_FLAGS: Mapping[str, Names] = {"--module": modules}
#: The values of flags that take one of a few.
OF_VALUES: Mapping[str, Sequence[str]] = {
    "--database": ("none", "postgresql", "mysql", "duckdb"),
    "--governance": ("quick", "standard", "enterprise"),
    "--executor": ("in_process", "multiprocess"),
    "--code-server": ("shared", "own"),
    "--starter": ("sample", "empty"),
    "--workspace": ("yes", "no", "later"),
    "--deployment": ("yes", "no", "later"),
}


def of_task(task: str) -> tuple[str, Names] | None:
    """Return what a task's first argument names, and the names there are; None if it may be anything."""
    if task.startswith("deploy") and task != "deploy.list":
        return "deployment", deployments
    return OF_TASKS.get(task)


def known(names: Names, root: Path) -> Sequence[str]:
    """Return names, or none where the workspace cannot be read: that is for the task to say."""
    if not layout_of(root).exists:
        return []
    with contextlib.suppress(BuilderError, OSError):
        return names(root)
    return []

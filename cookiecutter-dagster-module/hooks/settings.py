"""Where the workspace is, and the paths in it.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SERVICES = Path("services/dagster")
PROJECTS = Path("projects")
DATA = Path("data")
REGISTRY = SERVICES / "modules" / ".registry"
#: The secret key of a workspace, with which the registry's digests of secrets are sealed. Never committed.
KEY = SERVICES / "modules" / ".key"
BACKUPS = SERVICES / "modules" / "backups"
FRAGMENTS = Path("workspace/local")

ROOT_VARIABLE = "DAGSTER_WORKSPACE"

#: The file in a workspace's root that says where its other files are (``layout``).
LAYOUT_FILE = "dagster-module-builder.ini"

#: Set for the module template's hooks when their caller moves the module and integrates it.
CALLER_VARIABLE = "DAGSTER_MODULE_BUILDER_NEW"

#: Sets the password of a module's database.
PASSWORD_VARIABLE = "MODULE_DATABASE_PASSWORD"  # noqa: S105 - the variable's name


def workspace_root(root: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the workspace's root folder.

    It is ``root``, else ``$DAGSTER_WORKSPACE``, else the nearest folder around the current one that is a workspace,
    else ``~/workspace``.
    """
    return chosen_root(root, environ)[0]


def chosen_root(
    root: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ
) -> tuple[Path, str]:
    """Return the workspace's root folder, as ``workspace_root`` does, and why it is that one."""
    if root:
        return expanded(root).absolute(), "--root names it"
    if variable := environ.get(ROOT_VARIABLE):
        return expanded(variable).absolute(), f"${ROOT_VARIABLE} names it"
    if around := _around_here():
        return around, "the current folder is in it"
    return expanded("~/workspace").absolute(), "the default, since nothing names another one"


def _around_here() -> Path | None:
    """Return the nearest folder around the current one that is a workspace."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    marks = (LAYOUT_FILE, SERVICES / "workspace.yaml")
    return next((folder for folder in (here, *here.parents) if any((folder / mark).is_file() for mark in marks)), None)


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by home folders.

    A path whose home folder is unknown stays as it is, where ``Path.expanduser`` raises a RuntimeError.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def state_folder() -> Path:
    """Return the folder of this program's state (XDG): ``~/.local/state/dagster-module-builder``."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "dagster-module-builder"


def cache_folder() -> Path:
    """Return the folder of this program's cache (XDG): ``~/.cache/dagster-module-builder``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dagster-module-builder"

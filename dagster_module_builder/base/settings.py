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

#: Set for the module template's hooks when their caller moves the module and integrates it.
CALLER_VARIABLE = "DAGSTER_MODULE_BUILDER_NEW"

#: Sets the password of a module's database.
PASSWORD_VARIABLE = "MODULE_DATABASE_PASSWORD"  # noqa: S105 - the variable's name


def workspace_root(root: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the workspace's root folder: ``root``, else ``$DAGSTER_WORKSPACE``, else ``~/workspace``."""
    chosen = root or environ.get(ROOT_VARIABLE) or "~/workspace"
    return expanded(chosen).absolute()


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

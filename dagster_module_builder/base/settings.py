"""Where the workspace is, and what lies where in it.

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
#: The secret of a workspace, which seals what the registry remembers of other secrets. Never committed.
KEY = SERVICES / "modules" / ".key"
BACKUPS = SERVICES / "modules" / "backups"
FRAGMENTS = Path("workspace/local")

ROOT_VARIABLE = "DAGSTER_WORKSPACE"

#: Tells the module template's hooks that their caller moves the module and integrates it.
CALLER_VARIABLE = "DAGSTER_MODULE_BUILDER_NEW"

#: Gives a module's database a password of the person's own.
PASSWORD_VARIABLE = "MODULE_DATABASE_PASSWORD"  # noqa: S105 - the variable's name


def workspace_root(given: str | os.PathLike[str] | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the workspace's root folder: the one given, else ``$DAGSTER_WORKSPACE``, else ``~/workspace``."""
    chosen = given or environ.get(ROOT_VARIABLE) or "~/workspace"
    return expanded(chosen).absolute()


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with ``~`` and ``~user`` filled in; where the machine knows no such home folder, as it is written.

    ``Path.expanduser`` raises a RuntimeError for those.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def state_folder() -> Path:
    """Return where the user's machine keeps what this program noted of its own work."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path("~/.local/state").expanduser()) / "dagster-module-builder"


def cache_folder() -> Path:
    """Return where the user's machine keeps what can be found out again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dagster-module-builder"

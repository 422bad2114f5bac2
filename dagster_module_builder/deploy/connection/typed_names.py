"""The arguments that name a deployment on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from dagster_module_builder.base.settings import PROJECTS


def typed(folder: Path) -> str:
    """Return the arguments that name a deployment: ``yoda``, or ``yoda --module PATH`` outside a workspace.

    Args:
        folder: The deployment's folder, ``deploy/<name>`` in its module.
    """
    return shlex.join(words(folder))


def words(folder: Path) -> Sequence[str]:
    """Return the same arguments, not quoted."""
    module = folder.parent.parent
    return [folder.name] if module.parent.name == PROJECTS.name else [folder.name, "--module", str(module)]

"""The arguments that name a deployment on the command line."""

from __future__ import annotations

import shlex
from pathlib import Path

from dagster_module_builder.base.settings import PROJECTS


def typed(folder: Path) -> str:
    """Return the arguments that name a deployment: ``yoda``, or ``yoda --module PATH`` outside a workspace.

    Args:
        folder: The deployment's folder, ``deploy/<name>`` in its module.
    """
    module = folder.parent.parent
    return folder.name if module.parent.name == PROJECTS.name else f"{folder.name} --module {shlex.quote(str(module))}"

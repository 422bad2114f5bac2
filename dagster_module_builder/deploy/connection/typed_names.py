"""How a person types which deployment is meant."""

from __future__ import annotations

import shlex
from pathlib import Path

from dagster_module_builder.base.settings import PROJECTS


def typed(folder: Path) -> str:
    """Return what names a deployment behind a task: ``yoda``, or ``yoda --module PATH`` where no workspace has it.

    Args:
        folder: The deployment's folder, ``deploy/<name>`` in its module.
    """
    module = folder.parent.parent
    return folder.name if module.parent.name == PROJECTS.name else f"{folder.name} --module {shlex.quote(str(module))}"

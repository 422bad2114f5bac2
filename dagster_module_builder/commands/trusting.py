"""The question before code of a module is run that is not in the workspace."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.commands import console

TRUST_HELP = "Run code of a module that is not in the workspace and was not made here, without a question."


def agree_to_run(root: Path, module: Path, *, trust: bool) -> None:
    """Go on only where a module's code may be run; ask once where that is not known.

    Args:
        root: The workspace's root.
        module: The module's folder.
        trust: The person said yes already.

    Raises:
        RefusedError: The answer is no, or there is no terminal to ask at.
    """
    from dagster_module_builder.modules.trusted_code import is_trusted, remember_agreed

    if is_trusted(root, module):
        return
    question = f"This runs code of {module}, which is not in the workspace: as you, with all that you may do. Run it?"
    if not console.confirmed(question, yes=trust, flag="--trust"):
        raise RefusedError("Nothing was run.")
    remember_agreed(module)

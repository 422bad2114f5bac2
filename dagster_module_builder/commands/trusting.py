"""Ask before running code of a module that is not in the workspace."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.commands import console

TRUST_HELP = "Run the module's code without asking, even if it is not in the workspace and was not created here."


def may_load(root: Path, module: Path, *, trust: bool) -> bool:
    """Return whether a module's code may be run to check an upgrade; ask once if it is not trusted yet.

    Args:
        root: The workspace's root.
        module: The module's folder.
        trust: Whether ``--trust`` was passed.
    """
    from dagster_module_builder.modules.trusted_code import is_trusted, remember_agreed

    if is_trusted(root, module):
        return True
    question = (
        f"The upgrade checks that the definitions of {module} still load. That runs its code with all your "
        f"permissions. Run it?"
    )
    agreed = trust or (console.interactive() and console.confirmed(question, yes=False, flag="--trust"))
    if agreed:
        remember_agreed(module)
    return agreed


def agree_to_run(root: Path, module: Path, *, trust: bool) -> None:
    """Return if a module's code may be run; ask once if it is not trusted yet.

    Args:
        root: The workspace's root.
        module: The module's folder.
        trust: Whether ``--trust`` was passed.

    Raises:
        RefusedError: The answer is no, or there is no terminal.
    """
    from dagster_module_builder.modules.trusted_code import is_trusted, remember_agreed

    if is_trusted(root, module):
        return
    question = f"{module} is not in the workspace. Its code would run with all your permissions. Run it?"
    if not console.confirmed(question, yes=trust, flag="--trust"):
        raise RefusedError("Not run.")
    remember_agreed(module)

"""The errors that users see; ``commands.failing`` turns them into an exit status.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING or __package__:
    from dagster_module_builder.base.settings import FRAGMENTS
else:
    from settings import FRAGMENTS  # beside this file in the template's hooks


class BuilderError(Exception):
    """A failure that the user can fix; the program prints its text and exits with ``exit_code``."""

    exit_code = 1
    #: The result of each host, for ``--json``.
    results: Sequence[Mapping[str, object]] = ()


class RefusedError(BuilderError):
    """The request was refused, and nothing was changed."""


class UsageError(BuilderError):
    """The command line does not make sense."""

    exit_code = 2


class NoWorkspaceError(RefusedError):
    """There is no workspace at the given root."""

    def __init__(self, root: object) -> None:
        super().__init__(f"No workspace at {root}. Create one with 'workspace.init', or pass --root.")


class NoModuleError(RefusedError):
    """There is no such module."""

    def __init__(self, name: str, looked_in: object, hint: str = "") -> None:
        cure = hint or f" List modules with 'workspace.list', or create it with 'new {name}'."
        super().__init__(f"No module {name!r} in {looked_in}.{cure}")


class DamagedFileError(RefusedError):
    """A file is damaged or has the wrong form; names the place and the cure."""

    def __init__(self, path: object, line: int | None, problem: str, way_out: str) -> None:
        self.place = f"{path}:{line}" if line else f"{path}"
        self.problem = problem
        self.way_out = way_out
        super().__init__(f"{self.place}: {problem}. {way_out}")


class ToolError(BuilderError):
    """Another program failed; the message quotes its error."""


class EditedBlockError(RefusedError):
    """A block was edited by hand, or is not in the registry."""

    def __init__(self, path: object, line: int, marker: str, *, known: bool) -> None:
        problem = "was edited by hand" if known else "is not in the registry"
        same = f"make the same change in the module's {FRAGMENTS}/, or " if known else ""
        super().__init__(
            f"{path}:{line}: the block of {marker!r} {problem}. Nothing was changed. To keep your lines, {same}move "
            f"them out of the block. To replace the block, pass --force."
        )


class ConflictError(RefusedError):
    """The result would not work; names every reason and, where known, the place, the cure and the module."""

    def __init__(self, reasons: list[str], *, where: str = "", fix: str = "", owner: str = "") -> None:
        self.reasons = reasons
        self.where = where
        self.fix = fix
        self.owner = owner
        listed = "\n".join(f"- {reason}" for reason in reasons)
        super().__init__(f"Nothing was changed, because the result would not work:\n{listed}")


class FragmentRefusedError(RefusedError):
    """A module's fragments have settings that a person must allow; names each with its place, and the command."""

    def __init__(self, module: str, settings: Sequence[tuple[str, str]], command: str) -> None:
        self.settings = settings
        self.command = command
        self.way_out = f"Remove the setting, or allow it with '{command}'"
        listed = "\n".join(f"- {place}: {text}" for place, text in settings)
        super().__init__(
            f"Nothing was changed: {module!r} has settings that need your permission:\n{listed}\n"
            f"Remove them, or allow them if you trust the module:\n  {command}"
        )

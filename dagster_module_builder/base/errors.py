"""What the program says when it will not, or cannot, do what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dagster_module_builder.base.settings import FRAGMENTS


class BuilderError(Exception):
    """A failure that a person can understand and fix; the program prints its text and exits with ``exit_code``."""

    exit_code = 1
    #: What is known of each host, for a program to read.
    results: Sequence[Mapping[str, object]] = ()


class RefusedError(BuilderError):
    """Nothing was changed: what was asked for would break something."""


class UsageError(BuilderError):
    """The command line does not make sense."""

    exit_code = 2


class NoWorkspaceError(RefusedError):
    """There is no workspace at the given root."""

    def __init__(self, root: object) -> None:
        super().__init__(f"No workspace at {root}. Create one with 'workspace.init', or pass --root.")


class NoModuleError(RefusedError):
    """There is no such module."""

    def __init__(self, name: str, looked_in: object) -> None:
        super().__init__(
            f"There is no module {name!r} in {looked_in}: see 'workspace.list', or make it with 'new {name}'."
        )


class DamagedFileError(RefusedError):
    """A file is not what it has to be; names the place and the way out."""

    def __init__(self, path: object, line: int | None, found: str, way_out: str) -> None:
        self.place = f"{path}:{line}" if line else f"{path}"
        self.found = found
        self.way_out = way_out
        super().__init__(f"{self.place}: {found}. {way_out}")


class ToolError(BuilderError):
    """Another program failed, and says why."""


class EditedBlockError(RefusedError):
    """Somebody changed a block that this program wrote, or wrote one that it does not know."""

    def __init__(self, path: object, line: int, marker: str, *, known: bool) -> None:
        found = "was edited by hand" if known else "is not in the registry"
        same = f"make the same change in the module's {FRAGMENTS}/, " if known else ""
        super().__init__(
            f"{path}:{line}: the block of {marker!r} {found}. Nothing was changed: {same}move your lines out of the "
            f"block, or give --force to replace it."
        )


class ConflictError(RefusedError):
    """The result would not work; names every reason, and the place, the cure and the module where they are known."""

    def __init__(self, reasons: list[str], *, where: str = "", fix: str = "", owner: str = "") -> None:
        self.reasons = reasons
        self.where = where
        self.fix = fix
        self.owner = owner
        super().__init__("Nothing was changed, because it would not work:\n" + "\n".join(f"- {one}" for one in reasons))


class FragmentRefusedError(RefusedError):
    """A module's fragments have settings that a person has to allow; names each with its place, and the command."""

    def __init__(self, module: str, settings: Sequence[tuple[str, str]], command: str) -> None:
        self.settings = settings
        self.command = command
        self.way_out = f"Take the setting out, or allow it with '{command}'"
        listed = "\n".join(f"- {place}: {text}" for place, text in settings)
        super().__init__(
            f"Nothing was changed: {module!r} has settings that a module may not have by itself:\n{listed}\n"
            f"Take them out. Or, where you trust the module with them, allow them:\n  {command}"
        )

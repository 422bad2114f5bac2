"""Lock files that go stale when requirements change: brought up to date by their own tools, or named."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.modules.code_location import pyproject, table
from dagster_module_builder.programs import outside_programs, uv_program
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import FileChange, Plan

_PYPROJECT = "pyproject.toml"
#: How long a tool may resolve, in seconds.
_LIMIT = 300.0


@dataclass(frozen=True)
class LockTool:
    """A tool with a lock file: its name, the file, and the arguments that bring the file up to date."""

    program: str
    file: str
    arguments: Sequence[str]

    @property
    def command(self) -> str:
        """The command as a person types it."""
        return " ".join([self.program, *self.arguments])


_TOOLS = (
    LockTool("uv", "uv.lock", ("lock",)),
    LockTool("poetry", "poetry.lock", ("lock",)),
    LockTool("pdm", "pdm.lock", ("lock", "--update-reuse")),
)


@dataclass(frozen=True)
class FreshLocks:
    """The lock files that a plan also changes, and the commands that a person has to run."""

    changes: tuple[FileChange, ...] = ()
    by_hand: tuple[str, ...] = ()


def fresh_locks(module: Path, plan: Plan, may_run: Callable[[], bool]) -> FreshLocks:
    """Return what has to happen to the lock files of a module whose requirements change.

    Args:
        module: The module's folder.
        plan: The planned changes.
        may_run: Tells whether the tools may run, which follow the module's settings; asked only if there is a lock.
    """
    new = next((change.after for change in plan.effective if change.path == module / _PYPROJECT), None)
    if new is None:
        return FreshLocks()
    locks = [tool for tool in _TOOLS if (module / tool.file).is_file()]
    changes, by_hand = [], [*_of_workspace(module)]
    for tool in locks:
        if change := _fresh(module, tool, new) if may_run() else None:
            changes.append(change)
        else:
            by_hand.append(
                f"{tool.file} does not have the added requirements: run '{tool.command}' in {module} after the upgrade."
            )
    return FreshLocks(tuple(changes), tuple(by_hand))


def _of_workspace(module: Path) -> Sequence[str]:
    """Name the lock of a uv workspace that a module is a member of, which belongs to others, too."""
    for folder in module.parents:
        if table(pyproject(folder), "tool", "uv", "workspace") and (folder / "uv.lock").is_file():
            lock = folder / "uv.lock"
            return [f"{lock} does not have the added requirements: run 'uv lock' in {folder} after the upgrade."]
    return []


def _fresh(module: Path, tool: LockTool, new: bytes) -> FileChange | None:
    """Resolve in a copy of the two files; None if the tool is not there, or needs more than these."""
    before = module_files.read(module, module / tool.file)
    if before is None or table(pyproject(module), "tool", "uv", "workspace"):
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / module.name
        folder.mkdir()
        for file, content in ((_PYPROJECT, new), (tool.file, before)):
            (folder / file).write_bytes(content)
        after = module_files.read(folder, folder / tool.file) if _resolved(tool, folder) else None
    return FileChange(module / tool.file, before, after) if after is not None else None


def _resolved(tool: LockTool, folder: Path) -> bool:
    try:
        if tool.program == "uv":
            return uv_program.ask(["--quiet", *tool.arguments], folder)[0] == 0
        if not outside_programs.is_installed(tool.program):
            return False
        command = _poetry(folder) if tool.program == "poetry" else [tool.program, *tool.arguments]
        return _ask(command, folder).status == 0
    except ToolError:
        return False


def _poetry(folder: Path) -> Sequence[str]:
    """Return Poetry's command that keeps what is locked: before version 2, 'lock' alone takes the newest of everything.

    https://python-poetry.org/docs/1.8/cli/#lock
    """
    keep = ["--no-update"] if "version 1." in _ask(["poetry", "--version"], folder).text else []
    return ["poetry", "lock", *keep, "--no-interaction"]


def _ask(command: Sequence[str], folder: Path) -> outside_programs.Answer:
    environ = outside_programs.without_active_environment()
    return outside_programs.ask(command, answers=outside_programs.ANY, folder=folder, environ=environ, limit=_LIMIT)

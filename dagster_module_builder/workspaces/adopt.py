"""What stands in a workspace for a module although nothing says whose it is: written by an older version, or by hand.

Such an entry of the registry has no digests, and such lines of ``.env`` have no markers and are known by their prefix.
Taking them over replaces what somebody may have typed, so it is shown first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.modules.module import Module, modules_in
from dagster_module_builder.shared_files.blocks import join
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.registry import Entry
from dagster_module_builder.workspaces.workspace import Workspace


def is_old(entry: Entry | None) -> bool:
    """Tell whether an entry was written before digests were recorded."""
    return entry is not None and not entry.blocks


def lines_of(own: Sequence[bytes], prefix: str, longer: Iterable[str] = ()) -> dict[int, str]:
    """Return the own lines of ``.env`` that set a module's variables, with their variables.

    Args:
        own: The file's own lines.
        prefix: What the module's variables begin with (``SEO_``).
        longer: What other modules' begin with; ``SEO_`` never takes what ``SEO_STATS_`` takes.
    """
    others = tuple(other for other in longer if other != prefix and other.startswith(prefix))
    inside = env_file.FILE.text_lines(own)
    found: dict[int, str] = {}
    name = ""
    for number, line in enumerate(own):
        if number not in inside:
            name = next(iter(env_file.keys(line)), "")
        if name.startswith(prefix) and not name.startswith(others):
            found[number] = name
    return found


def unmarked(workspace: Workspace, name: str) -> dict[int, str]:
    """Return the lines of the workspace's ``.env`` that set a module's variables without being in its block."""
    own, prefix = workspace.layouts[env_file.NAME].own, f"{ModuleNames(name).env_prefix}_"
    if not lines_of(own, prefix):
        return {}
    names = {entry.name for entry in workspace.registry.entries} | {path.name for path in modules_in(workspace.root)}
    return lines_of(own, prefix, (f"{ModuleNames(other).env_prefix}_" for other in names))


def taken_over(workspace: Workspace, modules: Iterable[Module], *, force: bool = False) -> Workspace:
    """Return the workspace without the unmarked lines that these modules set themselves.

    Args:
        workspace: The workspace as it was read.
        modules: The modules that are put in.
        force: Take lines over that give another value than the module does.

    Raises:
        RefusedError: A line gives another value than the module does, which would be lost.
    """
    lines: set[int] = set()
    for module in modules:
        given = env_file.values(module.fragments.get(env_file.NAME, b""))
        found = {number: name for number, name in unmarked(workspace, module.path.name).items() if name in given}
        differing = sorted({name for name in found.values() if workspace.own_env.get(name) != given[name]})
        if differing and not force:
            raise RefusedError(
                f"{workspace.path(env_file.NAME)} gives other values than {module.fragment_path(env_file.NAME)} to "
                f"{', '.join(differing)}. Nothing was changed: write the ones that hold into the module's file, "
                f"or give --force to take the module's."
            )
        lines |= set(found)
    return without_lines(workspace, lines)


def without_lines(workspace: Workspace, lines: Collection[int]) -> Workspace:
    """Return the workspace without some own lines of its ``.env``."""
    if not lines:
        return workspace
    layout = workspace.layouts[env_file.NAME].copy()
    for number in sorted(lines, reverse=True):
        layout.replace_own(number, 1, [])
    return replace(workspace, files={**workspace.files, env_file.NAME: join(layout)})


def from_the_start(plan: Plan, workspace: Workspace) -> Plan:
    """Return a plan made for a workspace with other own lines as one that changes the real one's, too."""
    return Plan(tuple(_from_the_start(change, workspace) for change in plan.changes))


def _from_the_start(change: FileChange, workspace: Workspace) -> FileChange:
    name = change.path.name
    is_shared = name in workspace.files and change.path == workspace.path(name)
    return replace(change, before=workspace.files[name]) if is_shared else change


def refuse_unseen(plan: Plan, name: str, found: str) -> None:
    """Refuse to take something over that nobody has looked at, and show it.

    Raises:
        RefusedError: Always.
    """
    raise RefusedError(
        f"{found}. Taking it over for {name!r} would change this:\n{plan.diff()}\n"
        f"Nothing was changed: give --adopt to have it done."
    )

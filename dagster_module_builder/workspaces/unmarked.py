"""A module's lines in a workspace that no marker names: written by an older version, or by hand.

An entry of the registry from such a version has no digests; such lines of ``.env`` are known by their prefix. Taking
them over may replace what a person typed, so it is shown first.
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
from dagster_module_builder.transactions.registry import ModuleEntry
from dagster_module_builder.workspaces.workspace import Workspace


def is_old(entry: ModuleEntry | None) -> bool:
    """Tell whether an entry was written before digests were recorded."""
    return entry is not None and not entry.blocks


def lines_of(own: Sequence[bytes], prefix: str, longer: Iterable[str] = ()) -> dict[int, str]:
    """Return the owner's lines of ``.env`` that set a module's variables: line number -> variable.

    Args:
        own: The file's lines outside of blocks.
        prefix: What the module's variables begin with (``SEO_``).
        longer: What other modules' variables begin with; ``SEO_`` never takes a variable of ``SEO_STATS_``.
    """
    others = tuple(other for other in longer if other != prefix and other.startswith(prefix))
    inside = env_file.FILE.text_lines(own)
    variables: dict[int, str] = {}
    name = ""
    for number, line in enumerate(own):
        if number not in inside:
            name = next(iter(env_file.keys(line)), "")
        if name.startswith(prefix) and not name.startswith(others):
            variables[number] = name
    return variables


def unmarked_lines(workspace: Workspace, name: str) -> dict[int, str]:
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
        values = env_file.values(module.fragments.get(env_file.NAME, b""))
        old = {number: name for number, name in unmarked_lines(workspace, module.path.name).items() if name in values}
        differing = sorted({name for name in old.values() if workspace.own_env.get(name) != values[name]})
        if differing and not force:
            raise RefusedError(
                f"{workspace.path(env_file.NAME)} and {module.fragment_path(env_file.NAME)} set different values for "
                f"{', '.join(differing)}. Nothing was changed: write the right values into the module's file, "
                f"or pass --force to use the module's."
            )
        lines |= set(old)
    return without_lines(workspace, lines)


def without_lines(workspace: Workspace, lines: Collection[int]) -> Workspace:
    """Return the workspace without some of the owner's lines in its ``.env``."""
    if not lines:
        return workspace
    layout = workspace.layouts[env_file.NAME].copy()
    for number in sorted(lines, reverse=True):
        layout.replace_own(number, 1, [])
    return replace(workspace, files={**workspace.files, env_file.NAME: join(layout)})


def from_the_start(plan: Plan, workspace: Workspace) -> Plan:
    """Return a plan that was made for ``without_lines`` as one that changes the workspace's real files."""
    return Plan(tuple(_from_the_start(change, workspace) for change in plan.changes))


def _from_the_start(change: FileChange, workspace: Workspace) -> FileChange:
    file = next((file for file in workspace.kinds if workspace.path(file) == change.path), None)
    return replace(change, before=workspace.files[file]) if file else change


def refuse_unseen(plan: Plan, name: str, entry: ModuleEntry | None) -> None:
    """Refuse to take lines over that a person has not seen, and show what would change.

    Args:
        plan: What would change.
        name: The module's name.
        entry: Its entry in the registry, which an older version wrote; None where lines without a marker are its own.

    Raises:
        RefusedError: Always.
    """
    reason = (
        "The registry's entry was written by an older version, without the digests of its blocks"
        if entry
        else "Lines of its variables have no marker"
    )
    raise RefusedError(
        f"{reason}. Taking them over for {name!r} would change this:\n{plan.diff()}\n"
        f"Nothing was changed. Pass --adopt to take them over."
    )

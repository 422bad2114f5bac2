"""A module's fragments, read: what it adds to a workspace, and which settings a person has to allow first."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import FragmentRefusedError, RefusedError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import Facts, facts_of_bodies
from dagster_module_builder.fitting.module import fitted
from dagster_module_builder.fitting.paths import moved_contribution, moved_lines
from dagster_module_builder.fitting.snippet import without_user
from dagster_module_builder.fitting.without_containers import fitted_without_containers
from dagster_module_builder.fragment_rules.refused import Refused, covered, used
from dagster_module_builder.fragment_rules.rules import Judged, judge
from dagster_module_builder.modules.fragment_paths import refused_paths
from dagster_module_builder.modules.module import FRAGMENT_NAMES, Module, read_module
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError
from dagster_module_builder.shared_files.formats.shared_file import Contribution, refuse_unfit
from dagster_module_builder.shared_files.merge import unsafe
from dagster_module_builder.workspaces.workspace import Workspace, bodies_of

Contributions = Mapping[str, Sequence[Contribution]]


@dataclass(frozen=True)
class ModuleFragments:
    """A module, what it adds to each shared file, and what it claims by that.

    Attributes:
        module: The module.
        contributions: What it adds, by shared file.
        facts: What it claims.
        notes: What to tell a person about it.
        allowed: Its settings that a person allowed.
        tolerated: Its settings that were never allowed, and that an earlier version added.
    """

    module: Module
    contributions: Contributions
    facts: Facts
    notes: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    tolerated: tuple[Refused, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """Warnings about settings that were never allowed."""
        name = self.module.path.name
        return [
            f"Warning: {place_of(self.module, setting)}: {setting}. An earlier version added it. Remove it, or "
            f"allow it with '{allowing(name, [setting], integrated=True)}'."
            for setting in self.tolerated
        ]


def read_fragments(workspace: Workspace, path: Path) -> ModuleFragments:
    """Read a module and work out what it adds to this workspace.

    Raises:
        DamagedFileError: One of its fragments cannot be read.
        FragmentRefusedError: It has settings that have to be allowed first.
    """
    module = read_module(path)
    # A workspace without Dockerfiles gets none; a code server's image has the snippet's system packages, too.
    written = {file: _contributions(workspace, module, file) for file in {**workspace.kinds, **FRAGMENT_NAMES}}
    allowed, tolerated = _allowed(workspace, module)
    apart = workspace.has_own_server(module.path.name)
    contributions, notes = (
        fitted(workspace.as_target, module.path, module.names.snake, written, own_server=apart)
        if workspace.layout.has_compose
        else fitted_without_containers(
            workspace.without_containers, module.path, module.names.snake, written, own_server=apart
        )
    )
    bodies = {
        (file, contribution.path): contribution.mapping or contribution.sequence or ()
        for file, of_file in contributions.items()
        for contribution in of_file
    }
    try:
        facts = facts_of_bodies(bodies, workspace.own_env)
    except yaml.YAMLError as error:
        raise RefusedError(f"{path / settings.FRAGMENTS}: {error}") from None
    return ModuleFragments(module, contributions, facts, tuple(notes), allowed, tolerated)


def _contributions(workspace: Workspace, module: Module, file: str) -> list[Contribution]:
    fragment = module.fragments.get(file)
    readers: dict[str, Callable[[bytes], list[Contribution]]] = {
        workspace_yaml.NAME: workspace_yaml.contributions,
        env_file.NAME: env_file.contributions,
        compose.NAME: partial(compose.contributions, code_services=workspace.code_services),
        dockerfile.NAME: dockerfile.contributions,
    }
    if fragment is None:
        return []
    try:
        refuse_unfit(fragment)
        written = readers[file](fragment)
        paths = workspace.paths_of(module.path)
        is_yaml = file in (workspace_yaml.NAME, compose.NAME) and paths.differ
        return [moved_contribution(each, paths.moved) for each in written] if is_yaml else written
    except UnsafeEditError as error:
        raise unsafe(module.fragment_path(file), error.position + 1, error.reason) from None
    except yaml.YAMLError as error:
        raise RefusedError(f"{module.fragment_path(file)}: {error}") from None


def _allowed(workspace: Workspace, module: Module) -> tuple[tuple[str, ...], tuple[Refused, ...]]:
    """Return the module's settings that were allowed, and those that an earlier version added without asking.

    Raises:
        FragmentRefusedError: It has other settings.
    """
    name, entry = module.path.name, workspace.registry.find(module.path.name)
    try:
        judged = judge(name, module.fragments, workspace.around_fragments)
    except UnsafeEditError as error:
        raise unsafe(module.fragment_path(compose.NAME), error.position + 1, error.reason) from None
    everything = [*judged.refused, *refused_paths(workspace.root, judged)]
    # What a workspace without containers does not take needs no permission.
    refused = [each for each in everything if _takes(workspace, each.file)]
    allowed = [*(entry.allowed if entry else ()), *workspace.allowances.get(name, ())]
    left = [setting for setting in refused if not covered(allowed, setting)]
    standing = _standing(workspace, module) if left and entry else set()
    new = [each for each in left if each.setting not in standing]
    if new:
        named = [(place_of(module, setting), str(setting)) for setting in new]
        raise FragmentRefusedError(name, named, allowing(name, new, integrated=entry is not None))
    return used(allowed, refused), tuple(left)


def _takes(workspace: Workspace, file: str) -> bool:
    return workspace.layout.has_compose or file in (workspace_yaml.NAME, env_file.NAME)


def _standing(workspace: Workspace, module: Module) -> set[str]:
    """Return the settings that a module's blocks have already: an earlier version did not ask."""
    try:
        return {refused.setting for refused in _judged_blocks(workspace, module.path.name).refused}
    except UnsafeEditError:
        return set()


def _judged_blocks(workspace: Workspace, name: str) -> Judged:
    """Judge a module's blocks in the workspace.

    Raises:
        UnsafeEditError: It cannot be read.
    """
    sections: list[bytes] = []
    fragments: dict[str, bytes] = {}
    entry = workspace.registry.find(name)
    paths = workspace.paths_of(workspace.root / entry.path) if entry else None
    for (file, path), moved in bodies_of(workspace, ModuleNames(name).snake).items():
        body = moved_lines(moved, path, paths.written) if path and paths and paths.differ else moved
        if file != compose.NAME:
            head = [b"load_from:"] if file == workspace_yaml.NAME else []
            fragments[file] = b"\n".join([*head, *(without_user(body) if file == dockerfile.NAME else body)])
        elif len(path) == 1:
            sections += [f"{path[0]}:".encode(), *(b"  " + line for line in body)]
        else:
            sections += [f"{compose.CODE_KEY}:".encode(), f"  {path[-1]}:".encode(), *(b"    " + line for line in body)]
    return judge(name, {**fragments, compose.NAME: b"\n".join(sections)}, workspace.around_fragments)


def refuse_changed_paths(workspace: Workspace) -> None:
    """Check again the files of modules that Docker is about to read: they may have changed since they were added.

    Raises:
        FragmentRefusedError: A link leads out of a module now, or a file of variables takes others'.
    """
    for entry in workspace.registry.entries:
        try:
            judged = _judged_blocks(workspace, entry.name)
        except UnsafeEditError:
            continue
        new = [path for path in refused_paths(workspace.root, judged) if not covered(entry.allowed, path)]
        if new:
            named = [(str(workspace.path(path.file)), str(path)) for path in new]
            raise FragmentRefusedError(entry.name, named, allowing(entry.name, new, integrated=True))


def unused_allowances(workspace: Workspace, modules: Sequence[ModuleFragments]) -> list[str]:
    """Return warnings about allowances that no module needs."""
    recorded = {(module.module.path.name, setting) for module in modules for setting in module.allowed}
    return [
        f"Warning: --allow {name}={setting} was not recorded: {name!r} has no such setting that needs it."
        for name, allowed in workspace.allowances.items()
        for setting in allowed
        if (name, setting) not in recorded
    ]


def place_of(module: Module, refused: Refused) -> str:
    """Return the line of a module's fragment that has a setting."""
    return f"{module.fragment_path(refused.file)}:{refused.line}"


def allowing(name: str, refused: Sequence[Refused], *, integrated: bool) -> str:
    """Return the command that allows settings of a module.

    Args:
        name: The module's name.
        refused: The settings.
        integrated: Whether it is in the workspace already.
    """
    settings_ = dict.fromkeys(each.setting for each in refused)
    flags = " ".join(f"--allow {shlex.quote(f'{name}={each}')}" for each in settings_)
    return f"workspace.sync {flags}" if integrated else f"workspace.add {name} {flags}"

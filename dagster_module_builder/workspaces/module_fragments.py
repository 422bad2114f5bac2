"""A module's fragments, read: what it gives to a workspace, and what of that a person has to allow first."""

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
from dagster_module_builder.fragment_rules.refused import Refused, covered, used
from dagster_module_builder.fragment_rules.rules import Judged, judge
from dagster_module_builder.modules.fragment_paths import refused_paths
from dagster_module_builder.modules.module import Module, read_module
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import OutlineError
from dagster_module_builder.shared_files.formats.shared_file import Contribution, refuse_unfit
from dagster_module_builder.shared_files.merge import unsafe
from dagster_module_builder.workspaces.workspace import SHARED_FILES, Workspace, bodies_of

Contributions = Mapping[str, Sequence[Contribution]]


@dataclass(frozen=True)
class ModuleFragments:
    """A module that is put in, what it gives to each shared file, and what it claims thereby.

    Attributes:
        module: The module.
        contributions: What it gives.
        facts: What it claims.
        notes: What to know of it.
        allowed: Its settings that a person allowed.
        tolerated: Its settings that nobody allowed, and that an earlier version put in.
    """

    module: Module
    contributions: Contributions
    facts: Facts
    notes: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    tolerated: tuple[Refused, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """What to know of the settings that nobody allowed."""
        name = self.module.path.name
        return [
            f"Warning: {place_of(self.module, one)}: {one}. An earlier version added it: take it out, or allow it with "
            f"'{allowing(name, [one], integrated=True)}'."
            for one in self.tolerated
        ]


def read_fragments(workspace: Workspace, path: Path) -> ModuleFragments:
    """Read a module and work out what it gives to this workspace.

    Raises:
        DamagedFileError: One of its fragments cannot be read.
        FragmentRefusedError: It has settings that nobody allowed.
    """
    module = read_module(path)
    written = {file: _contributions(workspace, module, file) for file in SHARED_FILES}
    allowed, tolerated = _allowed(workspace, module)
    given, notes = fitted(workspace.surroundings, module.path, module.names.snake, written)
    bodies = {(file, one.path): one.mapping or one.sequence or () for file, every in given.items() for one in every}
    try:
        facts = facts_of_bodies(bodies, workspace.own_env)
    except yaml.YAMLError as error:
        raise RefusedError(f"{path / settings.FRAGMENTS}: {error}") from None
    return ModuleFragments(module, given, facts, tuple(notes), allowed, tolerated)


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
        return readers[file](fragment)
    except OutlineError as error:
        raise unsafe(module.fragment_path(file), error.position + 1, error.reason) from None
    except yaml.YAMLError as error:
        raise RefusedError(f"{module.fragment_path(file)}: {error}") from None


def _allowed(workspace: Workspace, module: Module) -> tuple[tuple[str, ...], tuple[Refused, ...]]:
    """Return what of a module's settings was allowed, and what an earlier version put in without asking.

    Raises:
        FragmentRefusedError: There are others.
    """
    name, entry = module.path.name, workspace.registry.find(module.path.name)
    try:
        judged = judge(name, module.fragments, workspace.around_fragments)
    except OutlineError as error:
        raise unsafe(module.fragment_path(compose.NAME), error.position + 1, error.reason) from None
    refused = [*judged.refused, *refused_paths(workspace.root, judged)]
    given = [*(entry.allowed if entry else ()), *workspace.allowances.get(name, ())]
    left = [one for one in refused if not covered(given, one)]
    standing = _standing(workspace, module) if left and entry else set()
    new = [one for one in left if one.setting not in standing]
    if new:
        named = [(place_of(module, one), str(one)) for one in new]
        raise FragmentRefusedError(name, named, allowing(name, new, integrated=entry is not None))
    return used(given, refused), tuple(left)


def _standing(workspace: Workspace, module: Module) -> set[str]:
    """Return the settings that stand in a module's blocks already: an earlier version asked nobody."""
    try:
        return {one.setting for one in _judged_blocks(workspace, module.path.name).refused}
    except OutlineError:
        return set()


def _judged_blocks(workspace: Workspace, name: str) -> Judged:
    """Judge what stands in the workspace of a module.

    Raises:
        OutlineError: It cannot be read.
    """
    sections: list[bytes] = []
    fragments: dict[str, bytes] = {}
    for (file, path), body in bodies_of(workspace, ModuleNames(name).snake).items():
        if file != compose.NAME:
            head = [b"load_from:"] if file == workspace_yaml.NAME else []
            fragments[file] = b"\n".join([*head, *body])
        elif len(path) == 1:
            sections += [f"{path[0]}:".encode(), *(b"  " + line for line in body)]
        else:
            sections += [f"{compose.CODE_KEY}:".encode(), f"  {path[-1]}:".encode(), *(b"    " + line for line in body)]
    return judge(name, {**fragments, compose.NAME: b"\n".join(sections)}, workspace.around_fragments)


def refuse_changed_paths(workspace: Workspace) -> None:
    """Look once more at the files of modules that Docker is about to read: they may have changed since they were added.

    Raises:
        FragmentRefusedError: A link leads out of a module now, or a file of variables takes others'.
    """
    for entry in workspace.registry.entries:
        try:
            judged = _judged_blocks(workspace, entry.name)
        except OutlineError:
            continue
        new = [one for one in refused_paths(workspace.root, judged) if not covered(entry.allowed, one)]
        if new:
            named = [(str(workspace.path(one.file)), str(one)) for one in new]
            raise FragmentRefusedError(entry.name, named, allowing(entry.name, new, integrated=True))


def unused_allowances(workspace: Workspace, given: Sequence[ModuleFragments]) -> list[str]:
    """Return what to say of settings that a person allows and that no module has."""
    recorded = {(one.module.path.name, name) for one in given for name in one.allowed}
    return [
        f"Warning: --allow {name}={one} was not recorded: {name!r} has no such setting that has to be allowed."
        for name, allowed in workspace.allowances.items()
        for one in allowed
        if (name, one) not in recorded
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
    names = dict.fromkeys(one.setting for one in refused)
    flags = " ".join(f"--allow {shlex.quote(f'{name}={one}')}" for one in names)
    return f"workspace.sync {flags}" if integrated else f"workspace.add {name} {flags}"

"""Whether registry, blocks, fragments and shared files say the same, and whether the result can work."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import (
    BuilderError,
    ConflictError,
    DamagedFileError,
    FragmentRefusedError,
    ToolError,
)
from dagster_module_builder.claims.conflicts import Finding, duplicates, undefined
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.native.native_definitions import NotLoaded, load_locations
from dagster_module_builder.shared_files.blocks import Block
from dagster_module_builder.shared_files.formats import compose, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import KeyPath, outline_of
from dagster_module_builder.shared_files.merge import blocks_by_slot
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.backups import backup_ids
from dagster_module_builder.transactions.plan import SECRET_MODE, Plan
from dagster_module_builder.transactions.reading import reading
from dagster_module_builder.transactions.registry import ModuleEntry, slot_name
from dagster_module_builder.workspaces import hashes, passwords
from dagster_module_builder.workspaces.carrying_out import Check
from dagster_module_builder.workspaces.clashes import all_facts
from dagster_module_builder.workspaces.external_checks import compose_accepts, requirements, sources_reach_the_image
from dagster_module_builder.workspaces.module_fragments import ModuleFragments, allowing, place_of, read_fragments
from dagster_module_builder.workspaces.planning import is_current, plan_changes
from dagster_module_builder.workspaces.workspace import SHARED_FILES, Workspace, read_workspace


def validate(root: Path, *, check: bool = True, load: bool = False) -> list[Finding]:
    """Look for everything that is not as it should be; nothing is changed.

    Args:
        root: The workspace's root.
        check: Ask uv whether all requirements resolve, and Compose whether it accepts the file.
        load: Load every code location natively.

    Raises:
        BuilderError: The workspace cannot even be read.
    """
    workspace, damaged, findings = reading(root, lambda _recovered: _looked_at(root, check=check))
    if load and not damaged:
        findings += _loaded(root)
    integrated = set() if damaged else {entry.name for entry in workspace.registry.entries}
    return [_with_a_way_out(finding, integrated) for finding in findings]


def _looked_at(root: Path, *, check: bool) -> tuple[Workspace, list[Finding], list[Finding]]:
    workspace = read_workspace(root)
    damaged = list(_unreadable(workspace))
    return workspace, damaged, damaged or _looked_over(workspace, _ASKING if check else (sources_reach_the_image,))


def _with_a_way_out(finding: Finding, integrated: AbstractSet[str]) -> Finding:
    """Give what only an edit fixes a command: the one that takes the module out, else the editor at the line."""
    if finding.command:
        return finding
    if finding.owner in integrated:
        return replace(finding, command=f"workspace.remove {finding.owner}")
    return replace(finding, command=_editor(finding.where))


def _editor(where: str) -> str:
    program = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    path, _, line = where.rpartition(":")
    return f"{program} +{line} {shlex.quote(path)}" if path and line.isdigit() else f"{program} {shlex.quote(where)}"


#: What asks other programs: first the one that leaves the interpreter to our own look at once.
_ASKING: tuple[Check, ...] = (compose_accepts, requirements, sources_reach_the_image)


_LOOK = "workspace.validate"
_AGAIN = f"Look again with '{_LOOK}' when this is fixed"
_SYNC = "workspace.sync"
_ANEW = "workspace.sync --force"
_PRUNE = "workspace.sync --prune"
_REPAIR = "workspace.sync --repair"


def _looked_over(workspace: Workspace, asking: Sequence[Check]) -> list[Finding]:
    # The other programs take as long as all that is looked at here; one after the other, they need memory once.
    with ThreadPoolExecutor(max_workers=1) as threads:
        answers = threads.submit(_asked, asking, workspace)
        seen = [
            *_blocks(workspace),
            *_fragments(workspace),
            *_claims(workspace),
            *_repeated_keys(workspace),
            *_readers(workspace),
            *_modes(workspace),
            *hashes.findings(workspace),
        ]
        places = {finding.where for finding in seen if finding.severity == "error"}
        return [*seen, *(finding for finding in answers.result() if finding.where not in places)]


def _unreadable(workspace: Workspace) -> Iterator[Finding]:
    try:
        _ = workspace.registry, workspace.layouts, workspace.facts
    except BuilderError as error:
        found = _as_finding(error, workspace.path(compose.NAME), "Do what it says, and look again with this command")
        of_registry = found.where.startswith(str(workspace.root / settings.REGISTRY))
        way_back = _last_backup(workspace.root) if of_registry else ""
        yield replace(found, command=_REPAIR if _REPAIR in found.fix else way_back)


def _last_backup(root: Path) -> str:
    return next((f"workspace.restore {identity}" for identity in reversed(backup_ids(root))), "")


def _as_finding(error: BuilderError, where: Path, fix: str, owner: str = "") -> Finding:
    """Turn a refusal into a finding: with its own place and cure, where it has them."""
    if isinstance(error, DamagedFileError):
        return Finding("error", error.found, error.place, error.way_out, owner)
    reasons = "; ".join(error.reasons) if isinstance(error, ConflictError) else str(error)
    return Finding("error", reasons, str(where), fix, owner)


def _blocks(workspace: Workspace) -> Iterator[Finding]:
    """Compare the blocks in the files with those in the registry."""
    entries = {entry.marker: entry for entry in workspace.registry.entries}
    for file, kind in SHARED_FILES.items():
        layout = workspace.layouts[file]
        markers = sorted({block.marker for _, block in layout.blocks()} | set(entries))
        try:
            located = blocks_by_slot(workspace.path(file), kind, layout, markers)
        except BuilderError as error:
            found = _as_finding(error, workspace.path(file), f"Fix it there, or run '{_REPAIR}'")
            yield replace(found, command=_REPAIR)
            continue
        for marker, slots in located.items():
            yield from _blocks_of(workspace, file, marker, entries.get(marker), slots)


def _blocks_of(
    workspace: Workspace, file: str, marker: str, entry: ModuleEntry | None, slots: dict[KeyPath, tuple[int, Block]]
) -> Iterator[Finding]:
    remembered = workspace.known[file]
    known = remembered.digests.get(marker, {})
    for slot, (position, block) in slots.items():
        is_same = entry and remembered.sealed(block.digest) == known.get(slot)
        if is_same or (entry and slot in known and _is_given(workspace, file, entry, block)):
            continue
        where = f"{workspace.path(file)}:{workspace.layouts[file].line_of(position, block)}"
        if entry is None:
            message = f"a block of {marker!r}, which the registry does not know"
            fix = "Delete its lines, or integrate the module with 'workspace.add --force'"
            is_there = (workspace.root / settings.PROJECTS / marker).is_dir()
            yield Finding("error", message, where, fix, marker, f"workspace.add {marker} --force" if is_there else "")
        elif slot not in known:
            message = f"a block of {marker!r} in a place that the registry does not know"
            yield Finding("error", message, where, "Move it back", entry.name, _ANEW)
        else:
            same = f"Make the same change in the module's {settings.FRAGMENTS}/, move your lines out of the block"
            fix = f"{same}, or give them up with '{_ANEW}'"
            yield Finding("error", f"the block of {marker!r} was edited by hand", where, fix, entry.name, _ANEW)
    for slot in known.keys() - slots.keys():
        message = f"the block of {marker!r} is missing in {slot_name(file, slot)}"
        fix = f"Put it back with '{_SYNC}'"
        yield Finding("error", message, str(workspace.path(file)), fix, entry.name if entry else "", _SYNC)


def _is_given(workspace: Workspace, file: str, entry: ModuleEntry, block: Block) -> bool:
    """Tell whether a block has what its module gives by now; then the fragments are what is told of."""
    try:
        given = read_fragments(workspace, workspace.root / entry.path)
    except (BuilderError, OSError):
        return False
    return any(block.digest in one.digests for one in given.contributions[file])


def _fragments(workspace: Workspace) -> Iterator[Finding]:
    """Compare the registry with the modules' fragments."""
    for entry in workspace.registry.entries:
        path = workspace.root / entry.path
        if not path.is_dir():
            message = f"the folder of {entry.name!r} is gone"
            yield Finding("error", message, str(path), f"Run '{_PRUNE}'", entry.name, _PRUNE)
            continue
        try:
            given = read_fragments(workspace, path)
        except FragmentRefusedError as error:
            yield from (
                Finding("error", text, place, error.way_out, entry.name, error.command)
                for place, text in error.settings
            )
            continue
        except BuilderError as error:
            yield _as_finding(error, path / settings.FRAGMENTS, f"Fix it there, and run '{_SYNC}'", entry.name)
            continue
        yield from _tolerated(given, entry.name)
        if not is_current(workspace, given, entry):
            message = f"{entry.name!r} gives something else than what was integrated"
            yield Finding("warning", message, str(path / settings.FRAGMENTS), f"Run '{_SYNC}'", entry.name, _SYNC)
            yield from _passwords(workspace, given, entry.name)


def _tolerated(given: ModuleFragments, name: str) -> Iterator[Finding]:
    """Tell of settings that an earlier version put in without asking."""
    for one in given.tolerated:
        command = allowing(name, [one], integrated=True)
        where, fix = place_of(given.module, one), f"Take it out, or allow it with '{command}'"
        yield Finding("warning", f"{one}; it is not allowed yet", where, fix, name, command)


def _passwords(workspace: Workspace, given: ModuleFragments, name: str) -> Iterator[Finding]:
    """Tell of passwords that a module gives and its database, once started, does not learn of."""
    lines = [line for one in given.contributions[env_file.NAME] for line in one.mapping or one.sequence or ()]
    for one in passwords.changed(workspace, env_file.values(b"\n".join(lines))):
        where = given.module.path / settings.FRAGMENTS / env_file.NAME
        yield Finding("warning", str(one), str(where), owner=name, command=_SYNC)


def _claims(workspace: Workspace) -> Iterator[Finding]:
    facts = all_facts(workspace)
    where = partial(_where, workspace)
    yield from duplicates(facts, where=where)
    yield from undefined(facts, facts, where=where)


#: The shared file that a kind of claim stands in.
_STANDS_IN = {"locations": workspace_yaml.NAME, "env": env_file.NAME, "ports": env_file.NAME}


def _where(workspace: Workspace, owner: str, attribute: str, name: object) -> str:
    """Return the line of an owner's file that first names what it claims, or the file where none does."""
    file = _STANDS_IN.get(attribute, compose.NAME)
    entry = workspace.registry.find(owner)
    if entry is None:
        path, text = workspace.path(file), workspace.files[file]
    else:
        module = workspace.root / entry.path
        path = module / settings.FRAGMENTS / FRAGMENT_NAMES[file]
        text = module_files.read(module, path)
    lines = (text or b"").split(b"\n")
    word = re.compile(rb"(?<![\w-])" + re.escape(str(name).encode()) + rb"(?![\w-])")
    line = next((number for number, text in enumerate(lines, 1) if word.search(text)), None)
    return f"{path}:{line}" if line else str(path)


def _repeated_keys(workspace: Workspace) -> Iterator[Finding]:
    for file in (workspace_yaml.NAME, compose.NAME):
        layout = workspace.layouts[file]
        for position, path in outline_of(layout.own).repeated:
            where = f"{workspace.path(file)}:{layout.line_number(position)}"
            message = f"the key {path[-1]!r} is repeated, and only the last one counts"
            yield Finding("error", message, where, "Delete one")


def _modes(workspace: Workspace) -> Iterator[Finding]:
    path = workspace.path(env_file.NAME)
    if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        command = f"chmod {SECRET_MODE:o} {shlex.quote(str(path))}"
        yield Finding("warning", "others can read the secrets in this file", str(path), f"Run '{command}'", "", command)


def _readers(workspace: Workspace) -> Iterator[Finding]:
    """Find the values that Dagster and Compose read differently, in the lines that are no module's."""
    path, layout = workspace.path(env_file.NAME), workspace.layouts[env_file.NAME]
    for entry, reason in env_file.read_differently(workspace.own_text(env_file.NAME)):
        message = f"Dagster and Compose do not read the same value of {entry.name}"
        where = f"{path}:{layout.line_number(entry.line)}"
        yield Finding("warning", message, where, reason[:1].upper() + reason[1:])


def _asked(asking: Sequence[Check], workspace: Workspace) -> list[Finding]:
    """Have checks look at the workspace as it is; a file that cannot be planned with is what they find."""
    try:
        plan = plan_changes(workspace, [], [])
    except BuilderError as error:
        return [_as_finding(error, workspace.root, _AGAIN)]
    return [finding for look in asking for finding in _answered(look, workspace, plan)]


def _answered(look: Check, workspace: Workspace, plan: Plan) -> list[Finding]:
    try:
        notes = list(look(workspace, plan))
    except ConflictError as error:
        return [Finding("error", reason, error.where, error.fix, error.owner) for reason in error.reasons]
    except DamagedFileError as error:
        return [Finding("error", error.found, error.place, error.way_out)]
    except (ToolError, yaml.YAMLError) as error:
        return [Finding("error", str(error), str(workspace.root), _AGAIN, command=_LOOK)]
    except BuilderError as error:
        return [_as_finding(error, workspace.root, _AGAIN)]
    words = [note.removeprefix("Warning: ") for note in notes]
    return [Finding("warning", one, str(workspace.root), _AGAIN, command=_LOOK) for one in words]


def _loaded(root: Path) -> Iterator[Finding]:
    loaded = load_locations(root)
    yield from (_not_loading(root, one) for one in loaded.failures)
    yield from _shared_asset_keys(loaded.keys)


def _not_loading(root: Path, failure: NotLoaded) -> Finding:
    fix = "Fix the module's code, and look again with 'workspace.validate --load'"
    where = failure.place or str(root / settings.SERVICES / workspace_yaml.NAME)
    subject = f"the location {failure.location}" if failure.location else "the workspace"
    message = f"{subject} does not load: {failure.error}"
    return Finding("error", message, where, fix, failure.module.name if failure.module else "")


def _shared_asset_keys(keys: Mapping[Path, Sequence[str]]) -> Iterator[Finding]:
    """Find assets that two modules make: each would overwrite what the other stored."""
    makers: dict[str, list[Path]] = defaultdict(list)
    for module, made in keys.items():
        for key in made:
            makers[key].append(module)
    for key, modules in makers.items():
        if len(modules) > 1:
            names = " and ".join(module.name for module in modules)
            message = f"the asset {key} is made by {names}, which overwrite each other's output"
            where, last = str(modules[-1] / "src"), modules[-1].name
            yield Finding("error", message, where, "Prefix its key with the module's name", last)

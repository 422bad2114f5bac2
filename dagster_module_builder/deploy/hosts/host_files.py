"""Plans the files of a host's Dagster, with the same managed blocks as in the workspace. Pure: nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.base.errors import ConflictError, RefusedError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import location_names
from dagster_module_builder.deploy.hosts import host_database, host_launcher, host_storage
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.deploy.model import database_rules
from dagster_module_builder.shared_files.formats import compose, dagster_yaml, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.shared_file import Contribution, SharedFile
from dagster_module_builder.shared_files.formats.yaml_text import ON_HOST, loaded
from dagster_module_builder.shared_files.merge import MergedFile, merge, open_layout
from dagster_module_builder.transactions.plan import SECRET_MODE, FileChange, Plan
from dagster_module_builder.transactions.registry import ModuleEntry, Registry, parse_registry, slot_name

REGISTRY = "modules/.registry"

KINDS: dict[str, SharedFile] = {kind.name: kind for kind in (workspace_yaml.FILE, env_file.FILE, compose.FILE)}
_MODES = {env_file.NAME: SECRET_MODE}


def paths(folder: str, files: Iterable[str] = ()) -> dict[str, str]:
    """Return the path of each shared file below the base path.

    Args:
        folder: The folder that Dagster is started in.
        files: The existing files: the compose file may have one of several names.
    """
    names = {name: name if folder in {"", "."} else f"{folder}/{name}" for name in KINDS}
    return {**names, compose.NAME: host_database.compose_path(folder, files)}


def looked_at(folder: str) -> list[str]:
    """Return the paths of all files that a plan may need."""
    return sorted({*paths(folder).values(), *host_database.compose_paths(folder), instance_path(folder), REGISTRY})


def instance_path(folder: str) -> str:
    """Return the path of the host's ``dagster.yaml``, if it is beside the other files."""
    return dagster_yaml.NAME if folder in {"", "."} else f"{folder}/{dagster_yaml.NAME}"


def plan_host(
    folder: str,
    files: Mapping[str, bytes | None],
    put: Sequence[HostLocation],
    take: Sequence[ModuleNames] = (),
    *,
    force: bool = False,
    storage: str | None = None,
) -> Plan:
    """Plan the changes of a host's files. The paths of the plan are relative to the base path.

    Args:
        folder: The folder that Dagster is started in, below the base path.
        files: The bytes of each shared file and of the registry, by path; None for a missing file.
        put: The modules whose release changes.
        take: The modules to remove.
        force: Replace blocks that were edited by hand.
        storage: The storage folder of all modules, if nothing else sets one; empty to keep the present one, and None
            if the host's containers have one.

    Raises:
        RefusedError: There is no Dagster, or a file cannot be edited safely.
        ConflictError: The result would not work.
    """
    registry = parse_registry(Path(REGISTRY), files.get(REGISTRY))
    where = paths(folder, [path for path, text in files.items() if text is not None])
    if files.get(where[workspace_yaml.NAME]) is None:
        raise RefusedError(f"There is no {where[workspace_yaml.NAME]} below the base path: run 'deploy.setup' once.")
    _refuse_unallowed(files.get(where[compose.NAME]) or b"", put)
    touched = [name for name in KINDS if name != compose.NAME or _needs_compose(registry, put, take)]
    merged = {name: _merged(name, where, files, registry, put, take, force=force) for name in touched}
    if storage is not None:
        merged[env_file.NAME] = _with_storage(merged[env_file.NAME], files.get(where[env_file.NAME]), put, storage)
    _refuse_conflicts(merged)
    _refuse_launcher(files.get(instance_path(folder)), folder, merged[env_file.NAME].text, put)
    entries: dict[str, ModuleEntry | None] = {names.name: None for names in take}
    entries |= {location.names.name: _entry(location.names, merged) for location in put}
    changes = [
        FileChange(Path(where[name]), files.get(where[name]), file.text, _MODES.get(name, 0o644))
        for name, file in merged.items()
    ]
    after = registry.with_entries(entries, merged).to_bytes()
    return Plan((*changes, FileChange(Path(REGISTRY), files.get(REGISTRY), after, SECRET_MODE)))


def _with_storage(merged: MergedFile, before: bytes | None, put: Sequence[HostLocation], storage: str) -> MergedFile:
    """Return ``.env`` with the storage folder, unless a module sets one; it stays as long as there are modules."""
    if any(host_storage.VARIABLE in env_file.keys(location.env) for location in put if not location.server):
        return replace(merged, text=host_storage.without_line(merged.text))
    kept = env_file.values(before or b"").get(host_storage.VARIABLE) if any(merged.digests.values()) else None
    place = storage or kept
    return replace(merged, text=host_storage.with_line(merged.text, place)) if place else merged


def _needs_compose(registry: Registry, put: Sequence[HostLocation], take: Sequence[ModuleNames]) -> bool:
    """Tell whether the compose file has, or gets, blocks of these modules."""
    held = registry.known(compose.NAME).digests
    return any(location.database for location in put) or any(
        location.snake in held for location in (*take, *(location.names for location in put))
    )


def _merged(
    name: str,
    where: Mapping[str, str],
    files: Mapping[str, bytes | None],
    registry: Registry,
    put: Sequence[HostLocation],
    take: Sequence[ModuleNames],
    *,
    force: bool,
) -> MergedFile:
    path, known = where[name], registry.known(name)
    layout = open_layout(Path(path), KINDS[name], files.get(path) or b"", known)
    changes: dict[str, Sequence[Contribution]] = {names.snake: [] for names in take}
    if name == compose.NAME:
        text, env = files.get(path) or b"", files.get(where[env_file.NAME]) or b""
        changes |= {location.names.snake: host_database.contributions(location.database, text, env) for location in put}
    else:
        changes |= {location.names.snake: location.contributions()[name] for location in put}
    absent = files.get(path) is None
    return merge(Path(path), KINDS[name], layout, changes, known, force=force, absent=absent)


def _refuse_unallowed(text: bytes, put: Sequence[HostLocation]) -> None:
    problems = [
        reason for location in put for reason in database_rules.reasons(location.names, location.database, text)
    ]
    if problems:
        raise ConflictError(problems)


def _refuse_conflicts(merged: Mapping[str, MergedFile]) -> None:
    data = loaded(Path(workspace_yaml.NAME), merged[workspace_yaml.NAME].text or b"", ON_HOST)
    locations = location_names(data.get("load_from") if isinstance(data, dict) else None)
    keys = env_file.keys(merged[env_file.NAME].text or b"")
    reasons = [f"the code location {name} would exist twice" for name in _twice(locations)]
    reasons += [f"the variable {name} would be set twice in .env" for name in _twice(keys)]
    if compose.NAME in merged:
        reasons += host_database.conflicts(merged[compose.NAME].text or b"", merged[env_file.NAME].text or b"")
    if reasons:
        raise ConflictError(reasons)


def _refuse_launcher(text: bytes | None, folder: str, env: bytes | None, put: Sequence[HostLocation]) -> None:
    known = env_file.values(env or b"")
    problems = [reason for location in put for reason in host_launcher.reasons(location, folder, text or b"", known)]
    if problems:
        raise ConflictError(problems)


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _entry(names: ModuleNames, merged: Mapping[str, MergedFile]) -> ModuleEntry:
    blocks = {
        slot_name(file, path): value
        for file, result in merged.items()
        for path, value in result.digests.get(names.snake, {}).items()
    }
    return ModuleEntry(
        {
            "name": names.name,
            "path": f"modules/{names.name}",
            "marker": names.snake,
            "blocks": dict(sorted(blocks.items())),
        }
    )


def without_secrets(plan: Plan) -> Plan:
    """Return a plan without the registry, which is of no interest to people."""
    return replace(plan, changes=tuple(change for change in plan.changes if str(change.path) != REGISTRY))

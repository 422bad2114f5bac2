"""Whatever the shared files look like and whatever was done before: only the set of modules decides what is in them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, assume, event, given, settings

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.facts import Facts
from dagster_module_builder.modules.module import read_module
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.registered_file import RegisteredFile
from dagster_module_builder.workspaces.module_fragments import ModuleFragments
from dagster_module_builder.workspaces.planning import plan_changes
from dagster_module_builder.workspaces.workspace import SHARED_FILES, Workspace, read_workspace
from tests.engine import shared_files
from tests.engine.folders import make_module, make_workspace

pytestmark = pytest.mark.slow

Versions = Mapping[str, int | None]

#: More examples are tried with ENGINE_EXAMPLES=5000; the ones under CI are the same each time.
EXAMPLES = int(os.environ.get("ENGINE_EXAMPLES", "150"))
bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    derandomize="ENGINE_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)


def put_in(workspace: Workspace, name: str, version: int) -> ModuleFragments:
    """Return a module as it is put in; what fits it to a workspace written by others is not asked here."""
    path = make_module(workspace.root, name, **shared_files.module_fragments(name, version))
    module = read_module(path)
    readers = {
        "workspace.yaml": workspace_yaml.contributions,
        ".env": env_file.contributions,
        "docker-compose.yml": partial(compose.contributions, code_services=workspace.code_services),
        "Dockerfile": dockerfile.contributions,
    }
    contributions = {
        file: readers[file](module.fragments[file]) if file in module.fragments else [] for file in SHARED_FILES
    }
    return ModuleFragments(module, contributions, Facts())


def stepped(workspace: Workspace, versions: Versions) -> Workspace:
    """Put modules in and take modules out, in one plan; return the workspace as it is then."""
    put = [put_in(workspace, name, version) for name, version in versions.items() if version is not None]
    entries = (workspace.registry.find(name) for name, version in versions.items() if version is None)
    plan = plan_changes(workspace, put, [entry for entry in entries if entry])
    *changes, registry = plan.changes
    files = {change.path.name: change.after for change in changes}
    return Workspace(workspace.root, files, registry.after, key=workspace.key)


def walked(workspace: Workspace, steps: Sequence[Versions]) -> tuple[Workspace, dict[str, int]]:
    """Take steps; those that are refused change nothing."""
    inside: dict[str, int] = {}
    for versions in steps:
        try:
            workspace = stepped(workspace, versions)
        except BuilderError as error:
            event("refused: " + str(error).split(": ", 1)[-1][:60])
            continue
        inside = {name: version for name, version in {**inside, **versions}.items() if version is not None}
    return workspace, inside


def own_lines(text: bytes, names: Sequence[str]) -> list[bytes]:
    """Return the lines outside the blocks of these modules."""
    own, inside = [], False
    markers = {ModuleNames(name).snake.encode() for name in names}
    for line in text.split(b"\n"):
        words = line.split()
        is_marker = len(words) == 3 and words[0] == b"#" and words[2] in markers
        if not is_marker and not inside:
            own.append(line)
        if is_marker:
            inside = words[1] == b"BEGIN:"
    return own


def remembered(known: RegisteredFile, line: bytes) -> bytes:
    """Return what the registry says of an own line, which may end in a carriage return."""
    bare = line.rstrip(b"\r")
    return known.sealed_line(bare) + line[len(bare) :] if bare else line


def merged_data(data: Any, contributions: Sequence[Contribution]) -> Any:
    """Return what a YAML file has to mean with these contributions in it."""
    root = deepcopy(data) or {}
    for contribution in contributions:
        here = root
        *above, last = contribution.path
        for key in above:
            here = here[key]
        here[last] = joined(here.get(last), contribution)
    return root


def joined(there: Any, added: Contribution) -> Any:
    if (there and isinstance(there, list)) or added.mapping is None:
        return [*(there or []), *yaml.safe_load(b"\n".join(added.sequence or ()))]
    return {**(there or {}), **yaml.safe_load(b"\n".join(added.mapping))}


def unordered(data: Any) -> Any:
    """Return data whose lists compare equal in any order; a clipped last line feed makes no difference either."""
    if isinstance(data, dict):
        return {key: unordered(value) for key, value in data.items()}
    if isinstance(data, list):
        return sorted((unordered(item) for item in data), key=repr)
    return data.rstrip("\n") if isinstance(data, str) else data


def loaded(text: bytes | None) -> Any:
    return yaml.safe_load((text or b"").decode())


@bounded
@given(shared_files.shared_files, shared_files.steps)
def test_only_the_set_of_modules_decides_what_stands_in_the_files(
    files: dict[str, bytes], steps: list[Versions]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = read_workspace(make_workspace(Path(folder) / "ws", **files))
        workspace, inside = walked(original, steps)
        straight, _ = walked(original, [{name: version} for name, version in sorted(inside.items())])
        assert workspace.files == straight.files
        if inside:
            assert workspace.files == stepped(original, inside).files
            empty = stepped(workspace, dict.fromkeys(inside))
            assert empty.files == original.files
            assert empty.registry.entries == []


@bounded
@given(shared_files.shared_files, shared_files.steps)
def test_nothing_but_blocks_and_what_makes_room_for_them_changes(
    files: dict[str, bytes], steps: list[Versions]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = read_workspace(make_workspace(Path(folder) / "ws", **files))
        workspace, inside = walked(original, steps)
        for file, text in workspace.files.items():
            before, after = (original.files[file] or b"").split(b"\n"), own_lines(text or b"", list(inside))
            known = workspace.known[file]
            scaffolds = known.scaffolds.values()
            made = {line.rstrip(b"\n") for scaffold in scaffolds for line in scaffold.after}
            gone = {line.rstrip(b"\n") for scaffold in scaffolds for line in scaffold.before}
            for _, old, to_old, new, to_new in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
                if before[old:to_old] != after[new:to_new]:
                    assert {remembered(known, line) for line in before[old:to_old]} <= {*gone, b""}
                    assert {remembered(known, line) for line in after[new:to_new]} <= {*made, b""}


@bounded
@given(shared_files.shared_files, shared_files.steps)
def test_the_files_mean_what_they_meant_and_what_the_modules_give(
    files: dict[str, bytes], steps: list[Versions]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = read_workspace(make_workspace(Path(folder) / "ws", **files))
        workspace, inside = walked(original, steps)
        assume(inside)
        given_modules = [put_in(original, name, version) for name, version in inside.items()]
        for file in ("docker-compose.yml", "workspace.yaml"):
            contributions = [one for module in given_modules for one in module.contributions[file]]
            expected = merged_data(loaded(original.files[file]), contributions)
            assert unordered(loaded(workspace.files[file]) or {}) == unordered(expected)


@bounded
@given(shared_files.shared_files, shared_files.steps)
def test_a_second_sync_changes_no_byte(files: dict[str, bytes], steps: list[Versions]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace, inside = walked(read_workspace(make_workspace(Path(folder) / "ws", **files)), steps)
        assume(inside)
        again = stepped(replace(workspace), inside)
        assert again.files == workspace.files
        assert again.registry_bytes == workspace.registry_bytes

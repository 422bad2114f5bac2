"""Markers, names, text that looks like a marker, edited blocks, older registries."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.workspaces import sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests.engine.folders import (
    COMPOSE,
    DOCKERFILE,
    ENV,
    FIRST_PORT,
    SHARED,
    make_module,
    make_workspace,
    registry,
    services,
    shared,
    stamps,
)
from tests.engine.refusals import refused

KEYS = dict(zip(SHARED, ("workspace", "env", "compose", "dockerfile"), strict=True))

#: Markers without an ordered partner, and the lines (counted from the first of them) that a refusal has to name.
DAMAGED = {
    "no end": (b"# BEGIN: seo\nx: 1\n", [1]),
    "no begin": (b"x: 1\n# END: seo\n", [2]),
    "reversed": (b"# END: seo\n# BEGIN: seo\n", [1, 2]),
    "two begins": (b"# BEGIN: seo\n# BEGIN: seo\nx: 1\n# END: seo\n", [1]),
    "two ends": (b"# BEGIN: seo\nx: 1\n# END: seo\n# a word of its owner\n# END: seo\n", [5]),
    "nested": (b"# BEGIN: seo\n# BEGIN: other\nx: 1\n# END: other\n# END: seo\n", [1, 5]),
    "crossed": (b"# BEGIN: seo\n# BEGIN: other\nx: 1\n# END: seo\n# END: other\n", [1, 2, 4, 5]),
    "another name": (b"# BEGIN: seo\nx: 1\n# END: seo_stats\n", [1, 3]),
}


def text_of(damage: bytes, file: str) -> bytes:
    return damage.replace(b"x: 1", {".env": b"X='1'", "Dockerfile": b"RUN x"}.get(file, b"x-x: 1"))


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("file", SHARED)
def test_damaged_markers_are_refused_with_their_lines(file: str, damage: str, tmp_path: Path) -> None:
    text, lines = DAMAGED[damage]
    start = SHARED[file] + text_of(text, file)
    root = make_workspace(tmp_path / "ws", **{KEYS[file]: start})
    make_module(root, "seo")
    said = refused(root, lambda: add_module(root, "seo"))
    above = SHARED[file].count(b"\n")
    assert f"{services(root) / file}:{above + lines[0]}: " in said
    assert all(f"in line {above + line}" in said for line in lines)
    assert "workspace.sync --repair" in said


@pytest.mark.parametrize("damage", DAMAGED)
def test_no_other_module_is_added_to_a_damaged_file_either(damage: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws", env=ENV + text_of(DAMAGED[damage][0], ".env"))
    make_module(root, "another")
    refused(root, lambda: add_module(root, "another"))


@pytest.mark.parametrize("name", ["seo", "other"])
def test_a_block_that_stands_twice_is_refused_whoever_comes_or_goes(name: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    env = services(root) / ".env"
    block = env.read_bytes().removeprefix(ENV)
    env.write_bytes(env.read_bytes() + block)
    make_module(root, "other", FIRST_PORT + 1)
    commands = {"seo": lambda: remove_module(root, "seo"), "other": lambda: add_module(root, "other")}
    said = refused(root, commands[name])
    assert f"{env}:3: 2 blocks of 'seo' (lines 3, 7)" in said


def test_a_block_without_an_end_is_not_removed(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    env = services(root) / ".env"
    env.write_bytes(env.read_bytes().replace(b"# END: seo\n", b"") + b"TYPED='1'\n")
    assert f"{env}:3: " in refused(root, lambda: remove_module(root, "seo"))


def test_names_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    for number, name in enumerate(["seo", "seo-stats", "seo2"]):
        make_module(root, name, FIRST_PORT + number)
    add_module(root, "seo-stats")
    add_module(root, "seo2")
    two = shared(root)
    add_module(root, "seo")
    remove_module(root, "seo")
    assert shared(root) == two
    remove_module(root, "seo-stats")
    assert b"seo2" in shared(root)[".env"]
    assert b"seo_stats" not in b"".join(shared(root).values())


def test_names_whose_derived_names_collide_are_refused(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "a-b")
    add_module(root, "a-b")
    make_module(root, "a_b", FIRST_PORT + 1)
    said = refused(root, lambda: add_module(root, "a_b"))
    assert "'a_b' and 'a-b'" in said
    assert "'a_b'" in refused(root, lambda: sync.sync(root))


NOT_MARKERS = {
    "a YAML text": ("compose", COMPOSE + b"x-text: |\n  # BEGIN: seo\n  # END: other\n"),
    "a folded YAML text": ("compose", COMPOSE + b"x-text: >-\n  # END: seo\n\n  # END: seo\n"),
    "a quoted YAML text": ("compose", COMPOSE + b'x-text: "a\n  # BEGIN: seo\n  b"\n'),
    "a YAML text in an item": ("workspace", b"load_from: []\nx-list:\n- |\n  # BEGIN: seo\n"),
    "a quoted variable": ("env", ENV + b"KEY='one\n# BEGIN: seo\ntwo'\n"),
    "a variable in double quotes": ("env", ENV + b'KEY="one \\"\n# END: seo\n"\n'),
    "a heredoc": ("dockerfile", b"FROM x\nRUN <<EOF\n# BEGIN: seo\nEOF\nRUN y\n"),
    "a heredoc without tabs": ("dockerfile", b"FROM x\nRUN <<-'EOF' && z\n\t# END: seo\n\tEOF\nRUN y\n"),
    "two heredocs": ("dockerfile", b"FROM x\nCOPY <<A <<B /x/\n# BEGIN: seo\nA\n# END: seo\nB\n"),
    "another word behind the name": ("env", ENV + b"# BEGIN: seo stats\n# BEGIN:seo\n# begin: seo\n## BEGIN: seo\n"),
}


@pytest.mark.parametrize("what", NOT_MARKERS)
def test_text_that_looks_like_a_marker_is_not_one(what: str, tmp_path: Path) -> None:
    key, text = NOT_MARKERS[what]
    root = make_workspace(tmp_path / "ws", **{key: text})
    before = shared(root)
    make_module(root, "seo")
    add_module(root, "seo")
    assert {**before, "seo": b""} != shared(root)
    remove_module(root, "seo")
    assert shared(root) == before


FRAGMENTS = {
    "workspace": "workspace.yaml",
    "env": ".env",
    "compose": "docker-compose.yml",
    "dockerfile": "dockerfile.snippet",
}


@pytest.mark.parametrize("kind", FRAGMENTS)
@pytest.mark.parametrize("marker", ["# BEGIN: seo", "  # END: other", "# END: seo  "])
def test_a_marker_in_a_fragment_is_refused(kind: str, marker: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    folder = make_module(root, "seo")
    path = folder / settings.FRAGMENTS / FRAGMENTS[kind]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], marker + "\n", *lines[1:]]))
    said = refused(root, lambda: add_module(root, "seo"))
    assert f"{path}:2: " in said


EDITS = {
    "a line changed": lambda text: text.replace(b"SEO_DB_PORT='15440'", b"SEO_DB_PORT='15999'"),
    "a line added": lambda text: text.replace(b"# END: seo", b"MINE='1'\n# END: seo"),
    "a line deleted": lambda text: text.replace(b"SEO_DB_PORT='15440'\n", b""),
    "blanks added": lambda text: text.replace(b"SEO_DB_PORT='15440'", b"SEO_DB_PORT='15440' "),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_block_is_neither_removed_nor_replaced(name: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    env = services(root) / ".env"
    env.write_bytes(EDITS[name](env.read_bytes()))
    assert f"{env}:3: the block of 'seo' was edited" in refused(root, lambda: remove_module(root, "seo"))
    make_module(root, "seo", FIRST_PORT + 7)
    said = refused(root, lambda: sync.sync(root))
    assert f"{env}:3: " in said
    assert "--force" in said


def test_force_replaces_an_edited_block_and_the_backup_keeps_it(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    before = shared(root)
    add_module(root, "seo")
    env = services(root) / ".env"
    env.write_bytes(env.read_bytes().replace(b"# END: seo", b"MINE='1'\n# END: seo"))
    outcome = remove_module(root, "seo", force=True)
    assert shared(root) == before
    assert b"MINE='1'" in (root / settings.BACKUPS / str(outcome.backup) / "1-.env").read_bytes()


def test_other_modules_come_and_go_beside_an_edited_block(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    env = services(root) / ".env"
    env.write_bytes(env.read_bytes().replace(b"# END: seo", b"MINE='1'\n# END: seo"))
    edited = shared(root)
    make_module(root, "other", FIRST_PORT + 1)
    add_module(root, "other")
    assert b"MINE='1'\n# END: seo" in shared(root)[".env"]
    remove_module(root, "other")
    assert shared(root) == edited


def test_a_block_that_the_registry_does_not_know_is_not_taken_over(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws", env=ENV + b"# BEGIN: seo\nSEO_OLD='1'\n# END: seo\n")
    make_module(root, "seo")
    said = refused(root, lambda: add_module(root, "seo"))
    assert f"{services(root) / '.env'}:3: the block of 'seo' is not in the registry" in said
    add_module(root, "seo", force=True)
    assert b"SEO_OLD" not in shared(root)[".env"]


def test_a_block_moved_to_another_slot_is_not_removed(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    compose = services(root) / "docker-compose.yml"
    text = compose.read_bytes()
    block = b"  # BEGIN: seo\n  seo_db_data:\n  # END: seo\n"
    assert block in text
    compose.write_bytes(text.replace(block, b"") + b"networks:\n" + block)
    assert str(compose) in refused(root, lambda: remove_module(root, "seo"))


def test_line_endings_alone_are_no_edit(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    before = shared(root)
    add_module(root, "seo")
    for name, text in shared(root).items():
        (services(root) / name).write_bytes(text.replace(b"\n", b"\r\n"))
    remove_module(root, "seo")
    after = {name: yaml.safe_load(text) for name, text in shared(root).items() if name.endswith(".yml")}
    assert after == {name: yaml.safe_load(before[name]) for name in after}
    assert b"seo" not in b"".join(shared(root).values())


ENTRY = '{"name": "seo", "marker": "seo", "path": "projects/seo"'
NO_REGISTRIES = [
    "",
    "{",
    "[]",
    "3",
    '{"integrated_modules": 3}',
    '{"integrated_modules": ["seo"]}',
    '{"integrated_modules": [{}]}',
    '{"integrated_modules": [{"name": 3}]}',
    f'{{"integrated_modules": [{ENTRY}}}, {ENTRY}}}]}}',
    f'{{"integrated_modules": [{ENTRY}, "marker": 3}}]}}',
    f'{{"integrated_modules": [{ENTRY}, "blocks": [1]}}]}}',
    f'{{"integrated_modules": [{ENTRY}, "provides": {{"ports": 3}}}}]}}',
    '{"integrated_modules": [], "scaffolds": []}',
    '{"integrated_modules": [], "scaffolds": {".env": {"before": [1], "after": []}}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", NO_REGISTRIES)
def test_a_file_that_is_no_registry_is_refused(text: str, tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    (root / settings.REGISTRY).write_text(text)
    make_module(root, "other")
    said = refused(root, lambda: add_module(root, "other"))
    assert str(root / settings.REGISTRY) in said
    assert "workspace.restore" in said


def test_what_is_unknown_in_a_registry_is_kept(tmp_path: Path) -> None:
    text = b'{"version": "0.9", "note": {"a": [1]}, "integrated_modules": []}'
    root = make_workspace(tmp_path / "ws", registry=text)
    make_module(root, "seo")
    add_module(root, "seo")
    data = registry(root)
    assert (data["version"], data["note"]) == ("0.9", {"a": [1]})


def test_a_second_add_and_an_unknown_removal_are_refused(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    add_module(root, "seo")
    assert "is in the workspace already" in refused(root, lambda: add_module(root, "seo"))
    assert "'other'" in refused(root, lambda: remove_module(root, "other"))


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    root = make_workspace(tmp_path / "ws")
    make_module(root, "seo")
    before = stamps(root)
    outcome = add_module(root, "seo", dry_run=True)
    assert stamps(root) == before
    assert "+# BEGIN: seo" in outcome.plan.diff()
    assert "s3cret" not in outcome.plan.diff()
    assert DOCKERFILE in shared(root).values()

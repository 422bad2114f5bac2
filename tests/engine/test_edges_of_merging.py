"""Edges of what a merge is made of: lines and blocks of one file, and the diff that shows them."""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError, EditedBlockError
from dagster_module_builder.shared_files import merge as merging
from dagster_module_builder.shared_files.blocks import (
    Block,
    Layout,
    ending_near,
    make_block,
    markers,
    pair,
    split_lines,
    trusted,
)
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Scaffold
from dagster_module_builder.shared_files.merge import merge, open_layout
from dagster_module_builder.shared_files.registered_file import END_OF_FILE, NO_FILE, RegisteredFile
from dagster_module_builder.transactions.plan import FileChange, Plan
from tests.engine.merging import merged, without

PATH = Path("file")
NUMBERS = [f"# {number}" for number in range(20)]


def block(marker: str, indent: int = 0) -> Block:
    return make_block(marker, [b"x"], indent, b"\n")


def change(old: list[str], new: list[str], path: Path = PATH) -> FileChange:
    return FileChange(path, "\n".join(old).encode(), "\n".join(new).encode())


@pytest.mark.parametrize(
    "new",
    [
        [*NUMBERS, "# end"], ["# start", *NUMBERS], NUMBERS[1:], NUMBERS[:-1], NUMBERS[:9] + NUMBERS[10:], [],
        [*NUMBERS[:4], "# a", *NUMBERS[5:14], "# b", "# c", *NUMBERS[15:]],
        [*NUMBERS[:4], "# a", *NUMBERS[4:10], "# b", *NUMBERS[10:]],
        [*NUMBERS[:4], "# a", *NUMBERS[4:11], "# b", *NUMBERS[11:]],
        [*NUMBERS[:2], *NUMBERS], NUMBERS[2:3] * 20, ["# a"], [*NUMBERS[:1], "# a", *NUMBERS[2:]],
    ],
)  # fmt: skip
def test_a_diff_is_what_diff_itself_shows(new: list[str]) -> None:
    """Every way that the lines which are common at both ends can meet the context."""
    for old, other in ((NUMBERS, new), (new, NUMBERS)):
        lines = list(difflib.unified_diff(old or [""], other or [""], "file", "file", lineterm=""))
        # What a comment says is not shown.
        expected = [*lines[:2], *(re.sub("(?<=^.)# .+", "# …", line) for line in lines[2:])]
        shown = change(old, other)
        assert shown.diff().splitlines() == expected
        assert shown.added == sum(line.startswith("+") for line in expected[2:])
        assert shown.removed == sum(line.startswith("-") for line in expected[2:])


def test_a_change_of_a_mode_alone_is_one_line_of_a_diff() -> None:
    text = b"# a\n"
    only = FileChange(PATH, text, text, chmod=(0o640, 0o600))
    assert only.changes
    assert only.diff() == "# file: mode 640 becomes 600"
    both = FileChange(PATH, b"# a", b"# b", chmod=(0o640, 0o600)).diff()
    assert both.splitlines()[:3] == ["# file: mode 640 becomes 600", "--- file", "+++ file"]
    assert not FileChange(PATH, text, text).changes
    assert FileChange(PATH, text, text).diff() == ""


def test_a_plans_diff_counts_the_registrys_lines_and_shows_all_others() -> None:
    registry = change(["1", "2"], ["1", "3", "4"], Path("ws") / settings.REGISTRY)
    other = change(["# a"], ["# b"])
    plan = Plan((registry, FileChange(PATH, b"", b""), other))
    assert plan.effective == (registry, other)
    assert plan.diff() == (
        f"# ws/{settings.REGISTRY}: +2 -1, this program's own record\n--- file\n+++ file\n@@ -1 +1 @@\n-# …\n+# …"
    )


def test_blocks_at_one_place_stand_with_the_deepest_first_then_by_name() -> None:
    layout = Layout([b"a\n"])
    deep, first, second = block("z", 4), block("a"), block("b")
    for one in (second, deep, first):
        layout.place(1, one)
    assert layout.blocks() == [(1, deep), (1, first), (1, second)]
    assert [layout.line_of(1, one) for one in (deep, first, second)] == [2, 5, 8]
    assert (layout.line_number(0), layout.line_number(1)) == (1, 11)
    layout.discard(1, first)
    layout.discard(1, deep)
    assert layout.placed == {1: [second]}
    layout.discard(1, second)
    assert layout.placed == {}


@pytest.mark.parametrize(
    ("position", "count", "lines", "inner", "expected"),
    [
        (1, 0, [b"n\n"], 0, {0: 0, 1: 2, 2: 3}),  # a line comes: what stands before it moves with its line
        (1, 0, [b"n\n"], -1, {0: 0, 1: 1, 2: 3}),  # deeper blocks belong to what stands above
        (1, 1, [], 0, {0: 0, 1: 1, 2: 1}),
        (1, 1, [b"n\n", b"m\n"], 0, {0: 0, 1: 1, 2: 3}),
        (0, 2, [b"n\n"], 0, {0: 0, 1: 0, 2: 1}),
    ],
)
def test_blocks_stay_with_their_lines(
    position: int, count: int, lines: list[bytes], inner: int, expected: dict[int, int]
) -> None:
    layout = Layout([b"a\n", b"b\n", b"c\n"])
    given = {at: block(f"m{at}") for at in (0, 1, 2)}
    for at, one in given.items():
        layout.place(at, one)
    layout.replace_own(position, count, lines, inner)
    places = {one.marker: at for at, one in layout.blocks()}
    assert places == {f"m{at}": to for at, to in expected.items()}
    assert layout.own == [*[b"a\n", b"b\n", b"c\n"][:position], *lines, *[b"a\n", b"b\n", b"c\n"][position + count :]]


@pytest.mark.parametrize(
    ("own", "position", "ending"),
    [
        ([b"a\r\n", b"b\n"], 1, b"\r\n"), ([b"a\r\n", b"b\n"], 2, b"\n"), ([b"a\r\n", b"b\n"], 0, b"\r\n"),
        ([b"a\r\n", b"b"], 2, b"\r\n"), ([b"a", b"b\r\n"], 1, b"\r\n"), ([b"a\r"], 1, b"\n"), ([], 0, b"\n"),
    ],
)  # fmt: skip
def test_the_nearest_line_above_gives_the_ending(own: list[bytes], position: int, ending: bytes) -> None:
    assert ending_near(own, position) == ending


def test_a_file_of_the_largest_size_is_read_and_no_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "LARGEST_TEXT", 9)
    monkeypatch.setattr(merging, "MOST_LINES", 3)
    for text in (b"# 3456789", b"#\n#\n#\n"):
        assert open_layout(PATH, env_file.FILE, text, RegisteredFile()).own
        with pytest.raises(DamagedFileError, match="the file has more than"):
            open_layout(PATH, env_file.FILE, text + b"\n", RegisteredFile())


def test_a_file_that_was_not_there_goes_with_its_last_block_and_stays_with_a_line_of_its_owner() -> None:
    given = {"seo": [Contribution((), mapping=(b"X='1'",))]}
    made = merge(PATH, env_file.FILE, Layout([]), given, RegisteredFile(), absent=True)
    assert NO_FILE in made.scaffolds
    known = RegisteredFile(made.digests, made.scaffolds)
    for own, expected in ((b"", None), (b"# mine\n", b"# mine\n")):
        layout = open_layout(PATH, env_file.FILE, (made.text or b"") + own, known)
        left = merge(PATH, env_file.FILE, layout, {"seo": []}, known)
        assert left.text == expected
        assert left.digests == {}
        assert (NO_FILE in left.scaffolds) == (expected is not None)
    assert merge(PATH, env_file.FILE, Layout([]), {}, RegisteredFile(), absent=True).text is None
    assert merge(PATH, env_file.FILE, Layout([]), {}, RegisteredFile()).text == b""


def test_an_edited_block_is_not_replaced_unless_it_is_asked_for() -> None:
    given = {"seo": [Contribution((), mapping=(b"X='1'",))]}
    made = merge(PATH, env_file.FILE, Layout([]), given, RegisteredFile())
    known = RegisteredFile(made.digests, made.scaffolds)
    edited = (made.text or b"").replace(b"'1'", b"'2'")
    with pytest.raises(EditedBlockError):
        merge(PATH, env_file.FILE, open_layout(PATH, env_file.FILE, edited, known), given, known)
    layout = open_layout(PATH, env_file.FILE, edited, known)
    assert merge(PATH, env_file.FILE, layout, given, known, force=True).text == made.text


def test_a_file_that_is_made_or_deleted_has_a_diff() -> None:
    assert FileChange(PATH, None, b"# a\n").diff().endswith("+# …\n ")
    assert FileChange(PATH, b"# a\n", None).diff().endswith("-# …\n ")


def test_a_block_edited_to_what_its_module_now_gives_stays_and_is_remembered() -> None:
    """FAULTS P14: nothing is lost by it; one that the registry does not know is not kept."""
    made = merged(env_file.FILE, b"", {"seo": [Contribution((), mapping=(b"X='1'",))]})
    edited = (made.text or b"").replace(b"'1'", b"'2'")
    given = {"seo": [Contribution((), mapping=(b"X='2'",))]}
    again = merged(env_file.FILE, edited, given, made)
    assert again.text == edited
    assert again.digests != made.digests
    assert without(env_file.FILE, again, "seo") == b""
    with pytest.raises(EditedBlockError, match="is not in the registry"):
        merged(env_file.FILE, edited, given)


def test_a_last_line_that_its_owner_changed_stays_when_the_blocks_go() -> None:
    made = merged(env_file.FILE, b"# mine", {"seo": [Contribution((), mapping=(b"X='1'",))]})
    assert made.scaffolds == {END_OF_FILE: Scaffold((b"# mine",), (b"# mine\n",))}
    assert without(env_file.FILE, made, "seo") == b"# mine"
    edited = replace(made, text=(made.text or b"").replace(b"mine", b"yours"))
    assert without(env_file.FILE, edited, "seo") == b"# yours\n"


def test_keys_that_were_made_inside_each_other_all_go() -> None:
    made = merged(compose.FILE, b"x: 1\n", {"seo": [Contribution(("a", "b"), mapping=(b"c: 1",))]})
    assert made.text
    assert b"\na:\n  b:\n" in made.text
    assert without(compose.FILE, made, "seo") == b"x: 1\n"


def test_keys_that_are_made_stand_in_the_order_of_their_names_whichever_came_first() -> None:
    first, second = (Contribution((name,), mapping=(b"c: 1",)) for name in "ab")
    one_way = merged(compose.FILE, b"", {"seo": [second]})
    other_way = merged(compose.FILE, b"", {"shop": [first]})
    assert (
        merged(compose.FILE, one_way.text or b"", {"shop": [first]}, one_way).text
        == merged(compose.FILE, other_way.text or b"", {"seo": [second]}, other_way).text
    )


def test_a_key_that_goes_decides_nothing_about_the_place_of_one_that_comes() -> None:
    gone, given = (Contribution((name,), mapping=(b"c: 1",)) for name in "za")
    made = merged(compose.FILE, b"", {"seo": [gone]})
    changed = merged(compose.FILE, (made.text or b"") + b"y: 1\n", {"seo": [given]}, made)
    assert changed.text == merged(compose.FILE, b"y: 1\n", {"seo": [given]}).text


def test_blocks_are_known_by_their_marker_and_their_digest() -> None:
    known = make_block("seo", [b"a", b"b"], 2, b"\r\n")
    lines = [b"own\n", *known.lines, *block("other").lines]
    found, other = pair(markers(lines))[0]
    assert trusted(lines, [found, other], {("seo", known.digest), ("other", known.digest)}) == [(*found,)]


def test_what_makes_a_file_unreadable_is_named_with_its_line_in_the_whole_file() -> None:
    """Blocks that are known are cut out unread, but they are counted."""
    made = merged(compose.FILE, b"x: 1\n", {"seo": [Contribution(("a",), mapping=(b"c: 1",))]})
    known, lines = RegisteredFile(made.digests, made.scaffolds), split_lines(made.text or b"")
    unknown = make_block("shop", [b"z: 1"], 0, b"\n")
    with pytest.raises(DamagedFileError, match="not valid YAML") as caught:
        open_layout(PATH, compose.FILE, b"".join([*lines, *unknown.lines, b"y: ]\n"]), known)
    assert caught.value.place == f"file:{len(lines) + 4}"
    with pytest.raises(DamagedFileError, match="'# BEGIN: shop' in line 1, '# END: seo' in line 2"):
        open_layout(PATH, env_file.FILE, b"# BEGIN: shop\n# END: seo\n", RegisteredFile())
    with pytest.raises(DamagedFileError, match="there is no stage 'build'") as caught:
        merged(dockerfile.FILE, b"", {"seo": [Contribution(("build",), mapping=(b"RUN x",))]})
    assert caught.value.place.endswith(":1")

"""One file in three versions: bytes and execute bits, each merged as what it is."""

from __future__ import annotations

import pytest

from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.upgrade.three_way import (
    BESIDE,
    UpgradedFile,
    Versions,
    has_markers,
    is_private,
    merge,
    placeholders,
    renamed,
    secret_names,
)

LINES = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
MINE = LINES.replace(b"one", b"mine")
THEIRS = LINES.replace(b"eight", b"theirs")
BOTH = MINE.replace(b"eight", b"theirs")


def merged(
    old: FileContent | None, yours: FileContent | None, new: FileContent | None, path: str = "run.sh"
) -> list[UpgradedFile]:
    base, mine, today = ({} if side is None else {path: side} for side in (old, yours, new))
    return list(merge(base, mine, today, Versions("1", "2")))


@pytest.mark.parametrize(("old", "yours", "new", "expected"), [
    (False, True, False, True), (True, False, True, False), (False, False, True, True), (True, True, False, False),
    (False, True, True, True), (False, False, False, False),
])  # fmt: skip
@pytest.mark.parametrize("texts", [(LINES, MINE, THEIRS, BOTH), (LINES, LINES, THEIRS, THEIRS)])
def test_who_changed_the_execute_bit_decides_it(
    texts: tuple[bytes, bytes, bytes, bytes], old: bool, yours: bool, new: bool, expected: bool
) -> None:
    """FAULTS B11: beside changes of lines, too."""
    sides = [FileContent(text, bit) for text, bit in zip(texts, (old, yours, new), strict=False)]
    (one,) = merged(*sides)
    assert one.after == FileContent(texts[3], expected)
    assert not one.conflict


def test_an_execute_bit_is_taken_over_where_only_a_person_changed_the_lines() -> None:
    """FAULTS B11: the template's only change is the bit."""
    (one,) = merged(
        FileContent(LINES, executable=False), FileContent(MINE, executable=False), FileContent(LINES, executable=True)
    )
    assert one.after == FileContent(MINE, executable=True)


def test_an_execute_bit_of_a_file_that_both_made_is_the_persons() -> None:
    (one,) = merged(None, FileContent(MINE, executable=True), FileContent(THEIRS, executable=False))
    assert one.after
    assert one.after.executable
    assert one.conflict


@pytest.mark.parametrize(
    ("path", "private"),
    [(".env", True), ("deploy/x/.env.deploy", True), (".env.example", False), ("deploy/x/.env.deploy.example", False),
     ("a.env", False), ("notes.example", False)],
)  # fmt: skip
def test_a_file_is_private_by_its_name_unless_it_is_an_example(path: str, private: bool) -> None:
    """FAULTS B11: an example has no secrets and is kept in the module's archive."""
    assert is_private(path) is private


def test_an_example_goes_along_where_the_template_renames_it() -> None:
    """FAULTS B11: what is private goes to a private name alone."""
    example = FileContent(b"A=''\nB=''\nC=''\n")
    found = list(merge({".env.example": example}, {".env.example": example}, {"env.md": example}, Versions("1", "2")))
    assert {one.path: one.after for one in found} == {".env.example": None, "env.md": example}
    mine = FileContent(example.content + b"MINE=''\n")
    found = list(merge({".env": example}, {".env": mine}, {".env.deploy": example}, Versions("1", "2")))
    assert {one.path: one.after for one in found} == {".env": None, ".env.deploy": mine}


def test_half_of_the_lines_make_a_renamed_file_and_the_likest_is_taken() -> None:
    source = FileContent(b"a\nb\nc\nd\n")
    half, less, more = FileContent(b"a\nb\ny\nz\n"), FileContent(b"a\nx\ny\nz\n"), FileContent(b"a\nb\nc\nz\n")
    assert renamed({"s": source}, {"half": half}) == {"s": "half"}
    assert renamed({"s": source}, {"less": less}) == {}
    assert renamed({"s": source}, {"half": half, "more": more}) == {"s": "more"}
    assert renamed({"s": FileContent(b"")}, {"empty": FileContent(b"")}) == {}
    assert renamed({"s": FileContent(b"")}, {"half": half}) == {}
    repeated = b"-\n" * 300
    assert renamed({"s": FileContent(b"one\n" + repeated)}, {"long": FileContent(b"two\n" + repeated)}) == {"s": "long"}
    assert renamed({"r": source, "s": source}, {"half": half}) == {"r": "half"}


@pytest.mark.parametrize("binary", [0, 1, 2])
def test_a_file_is_binary_if_one_of_its_versions_is(binary: int) -> None:
    sides = [FileContent(text + b"\0" * (place == binary)) for place, text in enumerate((LINES, MINE, THEIRS))]
    (one,) = merged(*sides)
    assert (one.path, one.before, one.after, one.conflict) == (f"run.sh{BESIDE}", None, sides[2], True)
    assert BESIDE in one.note


def test_each_side_that_changed_alone_is_taken_and_a_file_that_only_one_has_is_spoken_of() -> None:
    old, mine, theirs = FileContent(LINES), FileContent(MINE), FileContent(THEIRS)
    assert merged(old, mine, old) == []
    assert merged(old, theirs, theirs) == []
    assert merged(old, old, theirs) == [UpgradedFile("run.sh", old, theirs)]
    assert merged(old, old, None) == [UpgradedFile("run.sh", old, None)]
    assert merged(None, None, theirs) == [UpgradedFile("run.sh", None, theirs)]
    assert merged(old, None, None) == []
    (deleted,) = merged(old, None, theirs)
    assert (deleted.before, deleted.after, deleted.conflict) == (None, None, False)
    assert deleted.note == "The template changed run.sh, which you deleted; it stays deleted."
    (dropped,) = merged(old, mine, None)
    assert (dropped.before, dropped.after, dropped.conflict) == (mine, mine, False)
    assert dropped.note == "The template deleted run.sh, which you changed; it is kept."


def test_the_same_change_on_both_sides_is_none_to_be_merged() -> None:
    assert merged(FileContent(LINES), FileContent(MINE, executable=True), FileContent(MINE)) == []
    (one,) = merged(FileContent(LINES), FileContent(MINE), FileContent(MINE, executable=True))
    assert one.after == FileContent(MINE, executable=True)
    assert not one.conflict


def test_a_conflict_names_both_versions_with_markers_that_no_line_has() -> None:
    own = b"<<<<<<< yours\n"
    for start, size in ((b"", 7), (own, 8), (own + b"<" + own, 9), (b"||||||| template 1\n", 8), (b"=======\n", 7)):
        old, yours, new = (start + line for line in (b"a\n", b"b\n", b"c\n"))
        (one,) = merged(FileContent(old), FileContent(yours), FileContent(new))
        assert (one.conflict, one.marker_size) == (True, size)
        assert one.after
        text = b"%s yours\nb\n%s template 1\na\n%s\nc\n%s template 2 (new)\n"
        assert one.after.content == start + text % (b"<" * size, b"|" * size, b"=" * size, b">" * size)
        assert has_markers(one.after.content, size)
    assert not has_markers(b"=======\n<<<<<<< mine\n <<<<<<< yours\n")


def test_a_moved_file_goes_along_with_what_both_changed() -> None:
    mine, theirs = {"old.md": FileContent(MINE)}, {"new.md": FileContent(THEIRS)}
    gone, come = merge({"old.md": FileContent(LINES)}, mine, theirs, Versions("1", "2"))
    assert gone == UpgradedFile("old.md", FileContent(MINE), None, note=gone.note)
    assert gone.note == "The template renamed old.md to new.md; your file was moved too."
    assert (come.path, come.before, come.after, come.conflict) == ("new.md", None, FileContent(BOTH), False)
    untouched = merge(
        {"old.md": FileContent(LINES)},
        {"old.md": FileContent(MINE)},
        {"new.md": FileContent(LINES)},
        Versions("1", "2"),
    )
    assert {one.path: (one.before, one.after) for one in untouched} == {
        "old.md": (FileContent(MINE), None), "new.md": (None, FileContent(MINE))
    }  # fmt: skip


def test_a_moved_binary_file_has_the_templates_beside_its_new_place() -> None:
    mine, theirs = FileContent(MINE + b"\0"), FileContent(THEIRS + b"\0")
    found = {one.path: one for one in merge({"a": FileContent(LINES)}, {"a": mine}, {"b": theirs}, Versions("1", "2"))}
    assert {path: one.after for path, one in found.items()} == {"a": None, "b": mine, f"b{BESIDE}": theirs}
    assert found[f"b{BESIDE}"].conflict


def test_a_file_whose_place_is_taken_is_not_moved() -> None:
    mine = {"old.md": FileContent(MINE), "new.md": FileContent(b"my own\n")}
    found = {
        one.path: one
        for one in merge({"old.md": FileContent(LINES)}, mine, {"new.md": FileContent(LINES)}, Versions("1", "2"))
    }
    assert found["old.md"].after == FileContent(MINE)
    assert found["new.md"].conflict
    gone = merge({"old.md": FileContent(LINES)}, {}, {"new.md": FileContent(THEIRS)}, Versions("1", "2"))
    assert {one.path: one.after for one in gone} == {"new.md": FileContent(THEIRS)}


@pytest.mark.parametrize(("feeds", "returns"), [(2, False), (3, True), (0, False)])
def test_most_line_ends_decide_which_the_templates_lines_get(feeds: int, returns: bool) -> None:
    """Half of them are not most."""
    ends = [b"\r\n"] * feeds + [b"\n"] * (4 - feeds)
    yours = b"".join(b"%d" % number + end for number, end in enumerate(ends))
    for new, expected in ((b"x\ny\n", b"x\r\ny\r\n" if returns else b"x\ny\n"), (b"x\r\ny\n", b"x\r\ny\n")):
        (one,) = merge(
            {"a": FileContent(yours)}, {"a": FileContent(yours)}, {"a": FileContent(new)}, Versions("1", "2")
        )
        assert one.after == FileContent(expected)


def test_secrets_of_an_env_file_are_no_edits_and_stay() -> None:
    old, new = b"A='@PASSWORD@'\nB='1'\n", b"A='@PASSWORD@'\nB='2'\nC='@PASSWORD@'\nD='@HOME'\n"
    yours = b"A='hunter2'\nB='1'\n"
    for path in (".env", "workspace/local/.env"):
        (one,) = merged(FileContent(old), FileContent(yours), FileContent(new), path)
        assert one.after == FileContent(b"A='hunter2'\nB='2'\nC='@PASSWORD@'\nD='@HOME'\n")
        assert not one.conflict
    assert merged(FileContent(old), FileContent(yours), FileContent(old), ".env") == []
    assert secret_names(new) == {"A", "C"}
    assert placeholders(new) == {b"@PASSWORD@"}
    (other,) = merged(FileContent(old), FileContent(yours), FileContent(new), "notes.env")
    assert other.conflict

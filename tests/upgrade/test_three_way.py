"""One file in three versions: bytes and execute bits, each merged as what it is."""

from __future__ import annotations

import pytest

from dagster_module_builder.baseline import Held
from dagster_module_builder.upgrade.three_way import BESIDE, Merged, Versions, is_private, merge, renamed

LINES = b"one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"
MINE = LINES.replace(b"one", b"mine")
THEIRS = LINES.replace(b"eight", b"theirs")
BOTH = MINE.replace(b"eight", b"theirs")


def merged(old: Held | None, yours: Held | None, new: Held | None, path: str = "run.sh") -> list[Merged]:
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
    sides = [Held(text, bit) for text, bit in zip(texts, (old, yours, new), strict=False)]
    (one,) = merged(*sides)
    assert one.after == Held(texts[3], expected)
    assert not one.conflict


def test_an_execute_bit_is_taken_over_where_only_a_person_changed_the_lines() -> None:
    """FAULTS B11: the template's only change is the bit."""
    (one,) = merged(Held(LINES, executable=False), Held(MINE, executable=False), Held(LINES, executable=True))
    assert one.after == Held(MINE, executable=True)


def test_an_execute_bit_of_a_file_that_both_made_is_the_persons() -> None:
    (one,) = merged(None, Held(MINE, executable=True), Held(THEIRS, executable=False))
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
    example = Held(b"A=''\nB=''\nC=''\n")
    found = list(merge({".env.example": example}, {".env.example": example}, {"env.md": example}, Versions("1", "2")))
    assert {one.path: one.after for one in found} == {".env.example": None, "env.md": example}


def test_half_of_the_lines_make_a_renamed_file_and_the_likest_is_taken() -> None:
    source = Held(b"a\nb\nc\nd\n")
    half, less, more = Held(b"a\nb\ny\nz\n"), Held(b"a\nx\ny\nz\n"), Held(b"a\nb\nc\nz\n")
    assert renamed({"s": source}, {"half": half}) == {"s": "half"}
    assert renamed({"s": source}, {"less": less}) == {}
    assert renamed({"s": source}, {"half": half, "more": more}) == {"s": "more"}
    assert renamed({"s": Held(b"")}, {"empty": Held(b"")}) == {}
    assert renamed({"r": source, "s": source}, {"half": half}) == {"r": "half"}


@pytest.mark.parametrize("binary", [0, 1, 2])
def test_a_file_is_binary_if_one_of_its_versions_is(binary: int) -> None:
    sides = [Held(text + b"\0" * (place == binary)) for place, text in enumerate((LINES, MINE, THEIRS))]
    (one,) = merged(*sides)
    assert (one.path, one.before, one.after, one.conflict) == (f"run.sh{BESIDE}", None, sides[2], True)
    assert BESIDE in one.note

"""The list of mutants that no test can notice is about the code as it is."""

from __future__ import annotations

from pathlib import Path

from tests.mutation.survivors import FILE, known, stale, tomllib

ROOT = Path(__file__).parents[2]
ENTRY = '[[survivor]]\nfile = "a.py"\nbefore = " x = 1"\nafter = "pass"\nwhy = "{}"\n'


def test_an_entry_counts_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(ENTRY.format("It is never read."))
    (tmp_path / "b.toml").write_text(ENTRY.format(""))
    assert known(tmp_path / "a.toml") == {("a.py", "x = 1", "pass")}
    assert known(tmp_path / "b.toml") == set()


def test_an_entry_that_is_no_mutant_of_its_file_is_stale() -> None:
    made = {("a.py", "x = 1", "pass")}
    listed = {*made, ("a.py", "x = 2", "pass"), ("a.py", "x = 1", "x = 2"), ("b.py", "x = 1", "pass")}
    assert stale(listed, ["a.py"], made) == [("a.py", "x = 1", "x = 2"), ("a.py", "x = 2", "pass")]


def test_every_entry_is_about_lines_of_a_target() -> None:
    targets = tomllib.loads(FILE.with_name("targets.toml").read_text())
    files = {file for target in targets.values() for file in target["files"]}
    texts = {file: {line.strip() for line in (ROOT / file).read_text().splitlines()} for file in files}
    entries = tomllib.loads(FILE.read_text())["survivor"]
    assert [entry for entry in entries if not entry["why"]] == []
    assert [
        entry
        for entry in entries
        if entry["file"] not in files or not set(entry["before"].strip().splitlines()) <= texts[entry["file"]]
    ] == []

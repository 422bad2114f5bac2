"""Plain words: in code, templates, documents and the skill none is left of those that have a better one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What is not said, and what is said instead.
INSTEAD = {
    "somebody": "who it is",
    "nobody": "what does not happen",
    "anybody": "who it is, or passive voice",
    "everybody": "who they are",
    "anew": "again",
    "mend": "fix",
    "mends": "fixes",
    "mended": "fixed",
    "of its own": "separate",
    "of their own": "separate",
    "what is there": "existing",
    "goes with": "can be combined with",
    "is none of": "is not one of",
    "Manner": "RolloutOptions",
}
#: A line may end between two words, and a comment go on in the next one; in backquotes it is a name of before.
WORD = re.compile(rf"(?<![`\w])({'|'.join(INSTEAD)})\b".replace(" ", r"[\s#]+"), re.IGNORECASE)

PLACES = (
    "dagster_module_builder", "deploy_strategies", "cookiecutter-dagster-module", "cookiecutter-dagster-workspace",
    "docs", "skills", "tests", "benchmarks", "docs_site",
    "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "noxfile.py", "tasks.py",
)  # fmt: skip
#: Data, and what tools write.
NOT_WRITTEN_BY_HAND = {".csv", ".lock", ".pyc", ".png", ".svg", ".zip", ".gz"}
#: Caches, what earlier versions wrote, and this list.
LEFT_OUT = {"__pycache__", ".ruff_cache", "node_modules", "earlier_pipelines", "test_words.py"}


def found_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield each word with the number of the line that it begins in."""
    for match in WORD.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, re.sub(r"[\s#]+", " ", match[1])


def files_of(place: str) -> list[Path]:
    path = ROOT / place
    assert path.exists(), place
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    by_hand = [file for file in files if file.is_file() and file.suffix not in NOT_WRITTEN_BY_HAND]
    return [file for file in by_hand if not LEFT_OUT & set(file.parts)]


@pytest.mark.parametrize("place", PLACES)
def test_there_is_a_plainer_word(place: str) -> None:
    said = [
        f"{file.relative_to(ROOT)}:{number}: {word!r}, say {INSTEAD.get(word, INSTEAD.get(word.lower()))!r}"
        for file in files_of(place)
        for number, word in found_in(file.read_text("utf-8"))
    ]
    assert said == []


def test_words_are_found_across_lines_and_only_as_words() -> None:
    text = "Recommend amendments.\n# It has a folder of its\n# own, for Somebody.\n"
    assert list(found_in(text)) == [(2, "of its own"), (3, "Somebody")]

"""Exit statuses that the documentation has."""

from __future__ import annotations

from tests.cli.quick_program import Result

#: Done, refused, wrong usage, done with problems, and interrupted: a task of this program ends with nothing else.
DOCUMENTED = {0, 1, 2, 3, 130}


def assert_documented(result: Result, *, heard: bool = True) -> None:
    for words in ("Traceback", "should not have happened", "Exception ignored"):
        assert words not in result.text, result
    assert result.code in DOCUMENTED, result
    errors = [line for line in result.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) <= 1, result
    if result.code in {1, 2} and heard:
        assert result.text.strip(), result

"""What holds for the tests themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield what a file imports: ``from tests.deploy import sshd -> "tests.deploy.sshd"``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def from_tests(text: str) -> list[str]:
    """Return what a file imports from a file of tests or of fixtures; helpers have files that say what they do."""
    names = (name for name in imported(ast.parse(text)) if name.startswith("tests."))
    return [
        name for name in names if any(part.startswith("test_") or part == "conftest" for part in name.split(".")[:3])
    ]


def test_helpers_are_imported_from_modules_that_are_named_after_what_they_do() -> None:
    files = {str(path.relative_to(TESTS)): path.read_text("utf-8") for path in TESTS.rglob("*.py")}
    assert len(files) > 200
    assert {name: found for name, text in files.items() if (found := from_tests(text))} == {}


def test_an_import_of_a_helper_from_a_file_of_tests_is_seen() -> None:
    for line in (
        "from tests.cli import test_skill",
        "from tests.cli.test_skill import SKILL",
        "import tests.cli.conftest",
    ):
        assert from_tests(line)

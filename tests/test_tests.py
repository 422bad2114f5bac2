"""What holds for the tests themselves."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS / "README.md").read_text("utf-8")
#: The cases of shared files, and the rows of the table of folders.
CASES = PAGE.partition("## Sixteen cases")[2]
FOLDERS = re.findall(r"^\| `(\w+)/` \|((?:[^|\n]+\|){3})$", PAGE, re.MULTILINE)


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


def functions(path: Path) -> set[str]:
    """Return the tests in a file."""
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_folder_of_tests_has_a_row_that_says_what_it_proves_and_needs() -> None:
    folders = {path.parent.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")}
    assert {name for name, _ in FOLDERS} == folders
    assert [name for name, cells in FOLDERS if not all(cell.strip() for cell in cells.split("|")[:3])] == []


def test_the_cases_name_the_tests_that_prove_them() -> None:
    named: dict[str, set[str]] = {}
    for path, tests in re.findall(r"^   - `([\w/]+\.py)`: ((?:.+\n)(?:     .+\n)*)", CASES, re.MULTILINE):
        named.setdefault(path, set()).update(re.findall(r"`(test_\w+)`", tests))
    assert len(re.findall(r"^\d+\. ", CASES, re.MULTILINE)) == 16
    gone = {path: tests - functions(TESTS / path) for path, tests in named.items()}
    assert not any(gone.values()), gone
    for path in TESTS.glob("engine/test_cases_of_*.py"):
        assert functions(path) - named[f"engine/{path.name}"] == set(), path.name

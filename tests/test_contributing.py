"""CONTRIBUTING.md's recipes, followed to the letter in a copy of the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^### (.+)\n\n```bash\n((?:.*\n)*?)```$", PAGE, re.MULTILINE))
HERE_DOCUMENT = re.compile(r"<<'END'\n.*?^END$", re.DOTALL | re.MULTILINE)
#: What takes long to copy, and is no part of any recipe.
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".nox", ".*_cache", "__pycache__", "docs/images", "earlier_pipelines"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Give a copy of the repository, with the environment that these tests run in."""
    made = shutil.copytree(REPOSITORY, tmp_path / "copy", ignore=LEFT_OUT, symlinks=True)
    (made / ".venv").symlink_to(sys.prefix)
    return made


def followed(copy: Path, text: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=copy, env=environ, capture_output=True, text=True, check=False
    )


def test_there_are_recipes_of_five_lines_for_what_is_added_most() -> None:
    assert [name.split()[1] for name in RECIPES] == ["strategy", "system", "audit", "format", "question"]
    for name, text in RECIPES.items():
        assert len(HERE_DOCUMENT.sub("", text).splitlines()) <= 5, name


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_ends_in_tests_that_pass(name: str, copy: Path) -> None:
    """Its last line names them; pytest fails where it finds none of that name."""
    done = followed(copy, RECIPES[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ passed", done.stdout)


def test_the_one_test_that_the_page_runs_is_there() -> None:
    path, word = re.findall(r"-m pytest (tests/\S+) -k (\w+)$", PAGE, re.MULTILINE)[0]
    assert re.search(rf"^def test_\w*{word}", (REPOSITORY / path).read_text("utf-8"), re.MULTILINE)

"""FAULTS F8: what an audit of many files does, counted: no figure of it depends on the machine."""

from __future__ import annotations

import cProfile
import pstats
import subprocess
import sys
from collections import Counter
from pathlib import Path

from dagster_module_builder.audit.run import audit
from dagster_module_builder.audit.secret_scan import WORDS
from tests.audit.projects import write

#: Three files that import names from each other, from their neighbours of the same names, and from nowhere.
PART = {
    "__init__.py": "from . import constants\nfrom .constants import NAME, URL\n",
    "constants.py": "from big import NAME\nfrom .. import URL\nfrom ..settings.constants import OTHER\n",
    "assets.py": """\
import os

import dagster as dg

from . import NAME
from .constants import OTHER, URL

A, B, C = os.getenv(NAME), os.environ[URL], os.environ[OTHER + "x"]


class Base(Other): ...


@dg.asset(key_prefix=URL)
def numbers() -> str:
    return os.getenv(f"{NAME}_1")
""",
}


def project(folder: Path, parts: int) -> Path:
    files = {"pyproject.toml": "[project]\nname = 'big'\nversion = '0'\n", "big/__init__.py": ""}
    files["big/definitions.py"] = "import dagster as dg\n\ndefs = dg.Definitions(resources={'io_manager': dg.S()})\n"
    files |= {f"big/part{number}/{name}": text for number in range(parts) for name, text in PART.items()}
    return write(folder / "projects/big", files)


def calls_of_an_audit(folder: Path, parts: int) -> int:
    module = project(folder, parts)
    with cProfile.Profile() as profile:
        audit(folder, module)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_twice_as_many_files_are_at_most_little_more_than_twice_the_work(tmp_path: Path) -> None:
    calls_of_an_audit(tmp_path / "warm", 1)
    half, whole = (calls_of_an_audit(tmp_path / str(parts), parts) for parts in (100, 200))
    assert whole < 2.2 * half


COUNTING = """
import sys
from pathlib import Path

from dagster_module_builder.audit.run import audit

def count(event, arguments):
    if event == "compile" and "/projects/big/" in str(arguments[1]):
        print(arguments[1])

folder = Path(sys.argv[1])
sys.addaudithook(count)
audit(folder, folder / "projects/big")
"""


def test_each_file_is_parsed_once(tmp_path: Path) -> None:
    module = project(tmp_path, 3)
    command = [sys.executable, "-c", COUNTING, str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    parsed = Counter(line.removeprefix(f"b'{module}").rstrip("'") for line in printed.splitlines())
    assert set(parsed.values()) == {1}
    assert len(parsed) == len(list(module.rglob("*.py")))


def test_the_words_of_secrets_have_no_other_spellings() -> None:
    """Texts are searched for these words, not for the patterns of detect-secrets."""
    assert all(word.replace("_", "").isalpha() for word in WORDS)
    assert {"api_key", "apikey", "password"} <= WORDS

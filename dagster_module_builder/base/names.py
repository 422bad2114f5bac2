"""A module's names: all are derived from the one that a person chooses.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import difflib
import keyword
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

#: Longest module name, in characters. Leaves room for the suffixes of services, volumes and database users.
LONGEST_NAME = 40

#: No module may have the name of a task: if a module's name is missing, Invoke reads the next task's name as one.
TASK_NAMES = frozenset(
    {
        "audit", "care", "completion", "configure-deployment", "configure_deployment", "demo", "deploy", "doctor",
        "new", "skill", "upgrade", "version", "workspace",
    }
)  # fmt: skip

#: Top-level packages of a module's environment, and the names of the workspace's services.
TAKEN_NAMES = frozenset(
    {
        "cookiecutter", "dagster", "dagster_code", "dagster_daemon", "dagster_graphql", "dagster_migrate",
        "dagster_mysql", "dagster_postgres", "dagster_webserver", "duckdb", "fabric", "fsspec", "httpx", "invoke",
        "moto", "mypy", "nox", "numpy", "pandas", "pip", "polars", "psycopg", "psycopg2", "pyarrow", "pydantic",
        "pymysql", "pytest", "requests", "rich", "ruff", "s3fs", "setuptools", "sqlalchemy", "tests", "upath", "uv",
        "wheel", "yaml",
    }
)  # fmt: skip

_SHAPE = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


@dataclass(frozen=True)
class ModuleNames:
    """The names derived from a module's name (``sales-report``)."""

    name: str

    @property
    def snake(self) -> str:
        """Location name, marker, asset key prefix and asset group: ``sales_report``."""
        return self.name.replace("-", "_")

    @property
    def package(self) -> str:
        """The Python package: ``sales_report_dagster``."""
        return f"{self.snake}_dagster"

    @property
    def definitions(self) -> str:
        """The Python module that a location entry names: ``sales_report_dagster.definitions``."""
        return f"{self.package}.definitions"

    @property
    def env_prefix(self) -> str:
        """The prefix of the module's environment variables: ``SALES_REPORT``."""
        return self.snake.upper()


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question to put behind a message that a word is unknown; empty if none of those known is similar.

    ``("postgres", ["mysql", "postgresql"])`` -> ``" Did you mean 'postgresql'?"``
    """
    close = difflib.get_close_matches(word, [*known], n=1, cutoff=0.7)
    return f" Did you mean {close[0]!r}?" if close else ""


def problem_with_name(name: str) -> str | None:
    """Return why ``name`` cannot be a module's name, with a suggestion; None if it can."""
    reason = _reason(name)
    if reason is None:
        return None
    return f"{name[:60]!r} cannot be a module's name: {reason}. Try {suggested_name(name)!r}."


def _reason(name: str) -> str | None:
    if not name:
        return "it is empty"
    if name.startswith("-"):
        return "it begins with '-' like an option"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters, and {LONGEST_NAME} is the limit"
    if not _SHAPE.fullmatch(name):
        return "use lower-case letters, digits and single '-' or '_' between them, beginning with a letter"
    return _reserved(name)


def _reserved(name: str) -> str | None:
    snake = name.replace("-", "_")
    if name in TASK_NAMES or snake in TASK_NAMES:
        return "a task has this name"
    if keyword.iskeyword(snake) or keyword.issoftkeyword(snake):
        return "it is a keyword of Python"
    if snake in sys.stdlib_module_names:
        return "it is a module of Python's standard library"
    if snake in TAKEN_NAMES:
        return "a package or service in the workspace has this name"
    return None


def suggested_name(text: str) -> str:
    """Return the allowed module name nearest to ``text``: ``"My Sales!" -> "my-sales"``."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    words = re.sub(r"^[0-9-]+", "", words) or "my-module"
    words = words[:LONGEST_NAME].rstrip("-")
    return f"{words[: LONGEST_NAME - 5]}-data" if _reserved(words) else words


def colliding(name: str, others: list[str]) -> str | None:
    """Return the other name whose derived names equal those of ``name``: ``"a-b", ["a_b"] -> "a_b"``."""
    mine = folded(name)
    return next((other for other in others if other != name and folded(other) == mine), None)


def folded(name: str) -> str:
    """Return a key that is equal for names with equal derived names: ``"Sales-report" -> "sales_report"``."""
    return name.replace("-", "_").casefold()

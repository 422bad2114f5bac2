"""Every name that a module goes by, derived from the one that a person gives it.

Standard library only: the template's hooks import this file where Cookiecutter was installed alone.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from dataclasses import dataclass

#: Longest module name, in characters. Leaves room for the suffixes of services, volumes and database users.
LONGEST_NAME = 40

#: Invoke takes a task's name where a module's name is missing, so no module may be called like a task.
TASK_NAMES = frozenset(
    {"audit", "configure-deployment", "configure_deployment", "demo", "deploy", "new", "upgrade", "workspace"}
)

#: Top-level packages of a module's environment, and the names that the workspace's own services go by.
TAKEN_NAMES = frozenset(
    {
        "cookiecutter", "dagster", "dagster_daemon", "dagster_graphql", "dagster_migrate", "dagster_mysql",
        "dagster_postgres", "dagster_webserver", "duckdb", "fabric", "fsspec", "httpx", "invoke", "moto", "mypy",
        "nox", "numpy", "pandas", "pip", "polars", "psycopg", "psycopg2", "pyarrow", "pydantic", "pymysql", "pytest",
        "requests", "rich", "ruff", "s3fs", "setuptools", "sqlalchemy", "tests", "upath", "uv", "wheel", "yaml",
    }
)  # fmt: skip

_SHAPE = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")


@dataclass(frozen=True)
class ModuleNames:
    """The names derived from a module's own (``sales-report``)."""

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
        """What the module's environment variables begin with: ``SALES_REPORT``."""
        return self.snake.upper()


def problem_with_name(name: str) -> str | None:
    """Say why ``name`` cannot be a module's name, with a suggestion, or return None when it can."""
    reason = _reason(name)
    if reason is None:
        return None
    return f"{name[:60]!r} cannot be a module's name: {reason}. Try {suggested_name(name)!r}."


def _reason(name: str) -> str | None:
    if not name:
        return "it is empty"
    if name.startswith("-"):
        return "it begins with '-', as an option does"
    if len(name) > LONGEST_NAME:
        return f"it has {len(name)} characters, and {LONGEST_NAME} is the limit"
    if not _SHAPE.fullmatch(name):
        return "use lower-case letters, digits and single '-' or '_' between them, beginning with a letter"
    return _reserved(name)


def _reserved(name: str) -> str | None:
    snake = name.replace("-", "_")
    if name in TASK_NAMES or snake in TASK_NAMES:
        return "a task is called that"
    if keyword.iskeyword(snake) or keyword.issoftkeyword(snake):
        return "it is a keyword of Python"
    if snake in sys.stdlib_module_names:
        return "it is a module of Python's standard library"
    if snake in TAKEN_NAMES:
        return "a package or service in the workspace is called that"
    return None


def suggested_name(text: str) -> str:
    """Return the nearest allowed module name to ``text``."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", ascii_text.lower()).strip("-")
    words = re.sub(r"^[0-9-]+", "", words) or "my-module"
    words = words[:LONGEST_NAME].rstrip("-")
    return f"{words[: LONGEST_NAME - 5]}-data" if _reserved(words) else words


def colliding(name: str, others: list[str]) -> str | None:
    """Return the one of ``others`` whose derived names equal those of ``name`` though it is another name."""
    mine = folded(name)
    return next((other for other in others if other != name and folded(other) == mine), None)


def folded(name: str) -> str:
    """Return what two names have in common when everything derived from them is the same."""
    return name.replace("-", "_").casefold()

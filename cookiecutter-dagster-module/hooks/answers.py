"""What is wrong with an answer, in words that say what would be right.

Standard library only, and no import of a neighbour: the Jinja extension loads this file by its path.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SERVERS = frozenset({"postgresql", "mysql"})
LONGEST_TEXT = {"title": 80, "description": 300}

#: Longest identifiers, in characters: PostgreSQL's NAMEDATALEN - 1; MySQL 8 manual, section 11.2.1 and CREATE USER.
LONGEST_IDENTIFIER = {
    ("postgresql", "database_name"): 63,
    ("postgresql", "database_user"): 63,
    ("mysql", "database_name"): 64,
    ("mysql", "database_user"): 32,
}

#: Names that a server keeps for itself, or that its image refuses to make.
RESERVED = {
    ("postgresql", "database_name"): frozenset({"template0", "template1"}),
    ("postgresql", "database_user"): frozenset({"public", "none"}),
    ("mysql", "database_name"): frozenset({"mysql", "sys", "information_schema", "performance_schema"}),
    ("mysql", "database_user"): frozenset({"root"}),
}

PORTS = range(1024, 65536)

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


def problem(question: str, answer: object, database: str = "none") -> str | None:
    """Say what is wrong with the answer to one question, or return None.

    Args:
        question: The question's name in ``cookiecutter.json``.
        answer: What was given.
        database: The kind of database; without a server, what is said about it does not matter.
    """
    if question in LONGEST_TEXT:
        return _problem_with_text(question, str(answer))
    check = _OF_SERVERS.get(question)
    return check(question, str(answer), database) if check and database in SERVERS else None


def _problem_with_text(question: str, text: str) -> str | None:
    if question == "title" and not text.strip():
        return "The title is empty: give the module a title."
    if len(text) > LONGEST_TEXT[question]:
        return f"The {question} has {len(text)} characters, and {LONGEST_TEXT[question]} is the limit."
    bad = next((character for character in text if not character.isprintable()), None)
    if bad is None:
        return None
    return f"The {question} contains {bad!a}, which cannot be printed: write it in one line of printable characters."


def _problem_with_identifier(question: str, name: str, database: str) -> str | None:
    what = question.replace("_", " ")
    longest = LONGEST_IDENTIFIER[database, question]
    if not _IDENTIFIER.fullmatch(name):
        return f"{name[:80]!r} cannot be the {what}: use lower-case letters, digits and '_', beginning with a letter."
    if len(name) > longest:
        return f"The {what} has {len(name)} characters, and {database} allows {longest}."
    if name in RESERVED[database, question] or (question == "database_user" and name.startswith("pg_")):
        return f"{name!r} cannot be the {what}: {database} keeps that name for itself."
    return None


def _problem_with_port(_question: str, port: str, _database: str) -> str | None:
    if port.isascii() and port.isdigit() and int(port) in PORTS:
        return None
    return f"{port[:20]!r} cannot be the database's port: use a number from {PORTS.start} to {PORTS.stop - 1}."


_OF_SERVERS: dict[str, Callable[[str, str, str], str | None]] = {
    "database_name": _problem_with_identifier,
    "database_user": _problem_with_identifier,
    "database_port": _problem_with_port,
}


def problem_with_raw_text(question: str, raw: str, default: str) -> str | None:
    """Say that Cookiecutter read a given text as a template, or return None.

    Cookiecutter renders values from the command line and from its user configuration: ``{{ 1+1 }}`` became ``2``.
    A text inside ``{% raw %}`` comes out as it is.
    """
    is_template = any(mark in raw for mark in ("{{", "{%", "{#"))
    if not is_template or raw == default or re.fullmatch(r"\{% raw %\}.*\{% endraw %\}", raw, re.DOTALL):
        return None
    return f"The {question} contains Jinja marks, which Cookiecutter evaluates: write {{% raw %}}{raw}{{% endraw %}}."


def problem_with_password(password: str) -> str | None:
    """Say why a given database password cannot stand in an env file, or return None; never repeats the password."""
    if not password or not password.isprintable() or not password.isascii():
        return "MODULE_DATABASE_PASSWORD must be printable ASCII, and not empty."
    if set(password) & {"'", "\\"}:
        return "MODULE_DATABASE_PASSWORD contains ' or \\, which Compose and Dagster do not read alike: choose another."
    return None

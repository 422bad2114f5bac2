"""Check answers; each message says what is wrong and what would be valid.

Standard library only, and no import of another hook: the Jinja extension loads this file by its path.
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

#: Names that a server reserves, or that its image refuses to create.
RESERVED = {
    ("postgresql", "database_name"): frozenset({"template0", "template1"}),
    ("postgresql", "database_user"): frozenset({"public", "none"}),
    ("mysql", "database_name"): frozenset({"mysql", "sys", "information_schema", "performance_schema"}),
    ("mysql", "database_user"): frozenset({"root"}),
}

PORTS = range(1024, 65536)

_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]*")


def problem(question: str, answer: object, database: str = "none") -> str | None:
    """Return what is wrong with the answer to one question, or None.

    Args:
        question: The question's name in ``cookiecutter.json``.
        answer: The answer.
        database: The kind of database; answers about a server are checked only for PostgreSQL and MySQL.
    """
    if question in LONGEST_TEXT:
        return _problem_with_text(question, str(answer))
    check = _OF_SERVERS.get(question)
    return check(question, str(answer), database) if check and database in SERVERS else None


def _problem_with_text(question: str, text: str) -> str | None:
    if question == "title" and not text.strip():
        return "The title is empty. Enter a title."
    if len(text) > LONGEST_TEXT[question]:
        return f"The {question} has {len(text)} characters; the limit is {LONGEST_TEXT[question]}."
    unprintable = next((character for character in text if not character.isprintable()), None)
    if unprintable is None:
        return None
    return f"The {question} contains {unprintable!a}, which cannot be printed. Use one line of printable characters."


def _problem_with_identifier(question: str, name: str, database: str) -> str | None:
    what = question.replace("_", " ")
    longest = LONGEST_IDENTIFIER[database, question]
    if not _IDENTIFIER.fullmatch(name):
        return f"{name[:80]!r} is not a valid {what}. Use lower-case letters, digits and '_', starting with a letter."
    if len(name) > longest:
        return f"The {what} has {len(name)} characters; {database} allows {longest}."
    if name in RESERVED[database, question] or (question == "database_user" and name.startswith("pg_")):
        return f"{name!r} is not a valid {what}: {database} reserves that name. Choose another name."
    return None


def _problem_with_port(_question: str, port: str, _database: str) -> str | None:
    if port.isascii() and port.isdigit() and int(port) in PORTS:
        return None
    return f"{port[:20]!r} is not a valid database port. Use a number from {PORTS.start} to {PORTS.stop - 1}."


_OF_SERVERS: dict[str, Callable[[str, str, str], str | None]] = {
    "database_name": _problem_with_identifier,
    "database_user": _problem_with_identifier,
    "database_port": _problem_with_port,
}


def problem_with_raw_text(question: str, raw: str, default: str) -> str | None:
    """Return a problem if Cookiecutter evaluated the text as a template, else None.

    Cookiecutter renders values from the command line and from its user configuration: ``{{ 1+1 }}`` became ``2``.
    Text inside ``{% raw %}`` stays unchanged.
    """
    is_template = any(mark in raw for mark in ("{{", "{%", "{#"))
    if not is_template or raw == default or re.fullmatch(r"\{% raw %\}.*\{% endraw %\}", raw, re.DOTALL):
        return None
    return f"The {question} contains Jinja syntax, which Cookiecutter evaluates. Write {{% raw %}}{raw}{{% endraw %}}."


def problem_with_password(password: str) -> str | None:
    """Return why the password cannot be written to an env file, or None; the message never contains the password."""
    if not password or not password.isprintable() or not password.isascii():
        return "MODULE_DATABASE_PASSWORD must be printable ASCII and not empty."
    if set(password) & {"'", "\\"}:
        return "MODULE_DATABASE_PASSWORD contains ' or \\, which Compose and Dagster read differently. Choose another."
    return None

r"""How to write a value in a ``.env`` so that Dagster and Docker Compose read the same text.

Dagster reads with python-dotenv, which replaces ``${NAME}`` also inside single quotes
(https://github.com/theskumar/python-dotenv). Compose reads with compose-go (``dotenv/parser.go``): in single quotes it
knows only the escape ``\'``, and in double quotes it expands every ``$``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection

#: Written values that both read alike.
ALIKE = re.compile(
    r"""'(?P<single>(?:[^'\\\r\0$]|\$(?!\{)|\\'|\\(?=[^'\\\r\0]))*)'"""
    r"""|"(?P<double>(?:[^"\\\r\0$]|\\["\\abfnrtv])*)\""""
    r"""|(?P<bare>[A-Za-z0-9_./:@%+,=-]*)"""
)
#: Other forms that both read alike, in files that people write: a comment after a value, and words without quotes.
_BEHIND = re.compile(r"""(?P<value>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")[ \t]*(?:#[^\r\n]*)?""", re.DOTALL)
_WORDS = re.compile(r"""[^\s'"`$#\\][^$\\\r\0\t\v\f]*""")
_INSERTED = re.compile(r"\$\{(\w+)\}")
_DOUBLE_ESCAPE = re.compile(r'\\["\\abfnrtv]')
_SINGLE_ESCAPE = re.compile(r"\\'")
_CANNOT = "write the value as Base64, and decode it in the code"

#: Variables that decide how processes start or what Docker's programs do: modules may not set them.
_RESERVED = re.compile(
    r"PATH|HOME|SHELL|IFS|ENV|BASH_ENV|BASHOPTS|SHELLOPTS|PS4|PWD|USER|LOGNAME|UID|EUID|(?:LD|DYLD)_\w+|GCONV_PATH|GLIBC_TUNABLES"
    r"|PYTHON(?:PATH|HOME|STARTUP|EXECUTABLE|USERBASE|INSPECT|BREAKPOINT|PLATLIBDIR|SAFEPATH|NOUSERSITE)|VIRTUAL_ENV"
    r"|DAGSTER_(?:HOME|CURRENT_IMAGE|IS_DEV_CLI|PROJECT_ENV_FILE_PATHS)"
    r"|COMPOSE_\w+|DOCKER_(?:HOST|CONFIG|CONTEXT|CERT_PATH|TLS_VERIFY|API_VERSION)|BUILDKIT_\w+"
)


def is_reserved(name: str) -> bool:
    """Return whether no module may set a variable: ``"PATH" -> True``."""
    return _RESERVED.fullmatch(name) is not None


def read(written: re.Match[str]) -> str:
    """Return the value of a match of ``ALIKE``."""
    if written["single"] is not None:
        return _SINGLE_ESCAPE.sub("'", written["single"])
    if written["double"] is not None:
        return _DOUBLE_ESCAPE.sub(lambda escape: codecs.decode(escape[0], "unicode-escape"), written["double"])
    return written["bare"]


def written(value: str) -> str | None:
    r"""Return how to write a value so that both read it; None if there is no such way.

    ``it's`` -> ``'it\'s'``, ``C:\`` -> ``"C:\\"``
    """
    single = "'" + value.replace("'", "\\'") + "'"
    double = '"' + re.sub(r'["\\]', lambda match: "\\" + match[0], value).replace("\r", "\\r") + '"'
    ways = (way for way in (single, double) if (match := ALIKE.fullmatch(way)) and read(match) == value)
    return next(ways, None)


def is_alike(raw: str, above: Collection[str]) -> bool:
    """Return whether both read a value alike.

    Args:
        raw: The text after the equals sign.
        above: The variables set in the lines above, which both insert for ``${NAME}`` outside single quotes.
    """
    behind = _BEHIND.fullmatch(raw)
    value = behind["value"] if behind else raw
    if value[:1] != "'":
        value = _INSERTED.sub(lambda inserted: "0" if inserted[1] in above else inserted[0], value)
    return (ALIKE.fullmatch(value) or _WORDS.fullmatch(value)) is not None


def problem(raw: str) -> str | None:
    """Return why Dagster and Compose read a value differently, and how to write it; None if they read it alike.

    Args:
        raw: The text after the equals sign; it is never part of the answer.
    """
    if ALIKE.fullmatch(raw):
        return None
    if "\0" in raw or "\r" in raw:
        return r"a value with a NUL byte or a lone carriage return: write \r in double quotes instead"
    if "${" in raw:
        return (
            "Dagster replaces ${…} even inside single quotes, and Compose does not: write the value of the variable; "
            f"if you need these characters themselves, {_CANNOT}"
        )
    return {"'": _single_problem, '"': _double_problem}.get(raw[:1], _bare_problem)(raw)


def _single_problem(raw: str) -> str:
    end = _end_of_quote(raw)
    if "\\\\" in raw or raw.endswith("\\'"):
        if "$" in raw:
            return f"Dagster and Compose read its backslashes differently: {_CANNOT}"
        return (
            "Dagster and Compose read a backslash before a backslash, or at the end, differently inside single quotes: "
            r"put the value in double quotes, and write each backslash as \\ and each double quote as \""
        )
    if end is None:
        return "the single quote is never closed"
    return r"text after the closing quote: write an apostrophe inside as \', and a comment above the line"


def _double_problem(raw: str) -> str:
    end = _end_of_quote(raw)
    if end is None:
        return "the double quote is never closed"
    if end < len(raw):
        return r"text after the closing quote: write a double quote inside as \", and a comment above the line"
    if "$" in raw:
        return (
            "Compose replaces what follows a $ in double quotes, and Dagster does not: put the value in single quotes"
        )
    return r"Dagster and Compose read one of its backslashes differently: put the value in single quotes, or write \\"


def _bare_problem(raw: str) -> str:
    del raw
    return "Dagster and Compose read it differently without quotes: put the value in single quotes"


def _end_of_quote(raw: str) -> int | None:
    """Return where a quoted value ends; None if the quote is never closed."""
    quoted = re.match(rf"{raw[0]}(?:[^{raw[0]}\\]|\\.)*{raw[0]}", raw, re.DOTALL)
    return quoted.end() if quoted else None

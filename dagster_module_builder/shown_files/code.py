"""Redacting Python and other text: code without its strings, and the keys of settings."""

from __future__ import annotations

import io
import re
import tokenize

from dagster_module_builder.disclosure.redacted_text import RedactedText
from dagster_module_builder.disclosure.values import is_harmless_anywhere, is_secret_name

_SHOWN = {tokenize.NAME, tokenize.OP}
#: A section, a key before its value, or markup.
_STRUCTURE = re.compile(
    r"(?m)^[ \t]*(?:\[{1,2}[\w.-]+\]{1,2}[ \t]*$|[\w.-]{1,60}[ \t]*(?::(?=\s|$)|=(?=[ \t]+\S))"
    r"|[-*#>\[\]{}(),]+[ \t]*)"
)
_REQUIREMENT = re.compile(
    r"""(['"])(?:[A-Za-z0-9][\w.-]{0,60}(?:\[[\w,-]+\])?(?:\s*(?:[<>=!~]=?|===)\s*\d[\w.*]{0,12},?){1,3}|\d+(?:\.\d+){1,3})\1"""
)


def show_python(redacted: RedactedText) -> None:
    """Show code without its strings and comments, which may contain anything."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(redacted.text).readline))
    except (tokenize.TokenError, SyntaxError):
        show_text(redacted)
        return
    secret_rows = {token.start[0] for token in tokens if token.type == tokenize.NAME and is_secret_name(token.string)}
    for token in tokens:
        is_number = token.type == tokenize.NUMBER and token.start[0] not in secret_rows
        if token.type in _SHOWN or (is_number and is_harmless_anywhere(token.string)):
            (row, column), (last, end) = token.start, token.end
            redacted.show(redacted.start_of(row - 1) + column, redacted.start_of(last - 1) + end)


def show_text(redacted: RedactedText) -> None:
    """Show a text's keys and sections, its punctuation, and Python requirements without addresses."""
    for pattern in (_STRUCTURE, _REQUIREMENT):
        for match in pattern.finditer(redacted.text):
            redacted.show(match.start(), match.end())

"""Redacting a file line by line: structure, keys and harmless values are shown, and ``…`` for the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from dagster_module_builder.disclosure.redacted_text import RedactedText
from dagster_module_builder.disclosure.values import HIDDEN, is_harmless
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.shown_files import code, dockerfile, yaml_file

_YAML = (".yml", ".yaml")
_MARKER = re.compile(r"[ \t]*# (?:BEGIN|END): \w+[ \t]*")
#: All upper or all lower case, unlike the last line of a key in Base64, which ends with equals signs.
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_.]*|[a-z_][a-z0-9_.]*")
_VALUE = re.compile(r"""(['"]?)(.*)\1""", re.DOTALL)


def shown_lines(name: str, content: bytes, public: Collection[str] = ()) -> list[str]:
    """Return a file's redacted lines, without their endings.

    Args:
        name: The file's name, which decides how it is read.
        content: Its bytes.
        public: Lines, without surrounding white space, that are always shown.
    """
    text = content.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r", "")
    redacted = RedactedText(text)
    _reader(name)(redacted)
    return [
        raw if raw.strip() in public else _with_comment(raw, line)
        for raw, line in zip(text.split("\n"), redacted.lines(), strict=True)
    ]


def hidden_texts(name: str, content: bytes) -> list[str]:
    """Return the hidden texts of a file line by line: a program that quotes one of them must be redacted."""
    redacted = RedactedText(content.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r", ""))
    _reader(name)(redacted)
    return redacted.hidden()


def _with_comment(raw: str, line: str) -> str:
    """Return a redacted line; a marker is shown, and of any other comment only that it is one."""
    if _MARKER.fullmatch(raw):
        return raw
    indent = raw[: len(raw) - len(raw.lstrip())]
    return f"{indent}# {HIDDEN}" if raw.lstrip().startswith("#") and HIDDEN in line else line


def _reader(name: str) -> Callable[[RedactedText], None]:
    if name.startswith(".env") or name.endswith(".env"):
        return _show_env
    if name.startswith("Dockerfile") or name.endswith(("Dockerfile", ".snippet")):
        return dockerfile.show
    if name.endswith(_YAML):
        return yaml_file.show
    return code.show_python if name.endswith(".py") else code.show_text


def _show_env(redacted: RedactedText) -> None:
    """Show the variables of an env file and their harmless values."""
    lines: Sequence[str] = [line.decode() for line in split_lines(redacted.text.encode())]
    for entry in env_file.entries(redacted.text.encode()):
        if not entry.raw and not _VARIABLE.fullmatch(entry.name):
            continue
        start = redacted.start_of(entry.line)
        line = lines[entry.line]
        behind = line.index("=", line.index(entry.name) + len(entry.name)) + 1
        redacted.show(start, start + behind)
        raw = entry.raw.decode()
        value = _VALUE.fullmatch(raw)
        if value and is_harmless(entry.name, value[2]):
            first = redacted.text.index(raw, start + behind) if raw else start + behind
            redacted.show(first, first + len(raw))

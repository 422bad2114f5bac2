"""Redacting a Dockerfile: instructions, images, paths and the harmless words of commands are shown."""

from __future__ import annotations

import re

from dagster_module_builder.disclosure import words
from dagster_module_builder.disclosure.redacted_text import RedactedText
from dagster_module_builder.disclosure.values import IMAGE, NAME, PATH, has_shape, is_harmless_setting
from dagster_module_builder.shared_files.formats.dockerfile import instructions

_KEYWORD = re.compile(r"\s*[A-Za-z]+")
_WORD = re.compile(r"[^\s\\]+")
_SETTING = re.compile(r"""([A-Za-z_][\w.-]*)(=|[ \t]+)("(?:[^"\\]|\\.)*"|'[^']*'|(?:[^\s\\]|\\[^\n])*)""", re.DOTALL)
_FILES = {"COPY", "ADD", "WORKDIR", "VOLUME", "EXPOSE", "USER", "STOPSIGNAL"}
_COMMANDS = {"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK", "SHELL", "ONBUILD"}


def show(redacted: RedactedText) -> None:
    """Show what is harmless in a Dockerfile."""
    lines = [line.encode() for line in re.findall(r"[^\n]*\n|[^\n]+", redacted.text)]
    for instruction in instructions(lines):
        start, end = redacted.start_of(instruction.first), redacted.start_of(instruction.end)
        _show_instruction(redacted, instruction.keyword.decode(), start, end)


def _show_instruction(redacted: RedactedText, keyword: str, start: int, end: int) -> None:
    match = _KEYWORD.match(redacted.text, start)
    behind = match.end() if match else start
    redacted.show(start, behind)
    if keyword in _COMMANDS:
        words.show(redacted, behind, end)
        _hide_comments(redacted, behind, end)
    elif keyword in {"ENV", "ARG", "LABEL"}:
        _show_settings(redacted, keyword, behind, end)
    elif keyword == "FROM":
        _show_words(redacted, behind, end, rf"{IMAGE}|AS|as|--platform=[\w/$]+|{NAME}")
    elif keyword in _FILES:
        # The lines of a heredoc are a file's content.
        end = start + len(redacted.text[start:end].partition("\n")[0]) if "<<" in redacted.text[behind:end] else end
        _show_words(redacted, behind, end, rf"{PATH}|--from={NAME}|--chown=[\w:]+|--chmod=\d+|\d+(?::\d+)?")


def _show_words(redacted: RedactedText, start: int, end: int, shape: str) -> None:
    for match in _WORD.finditer(redacted.text, start, end):
        if has_shape(match[0], shape):
            redacted.show(match.start(), match.end())


def _show_settings(redacted: RedactedText, keyword: str, start: int, end: int) -> None:
    part = redacted.text[start:end].lstrip()
    for match in re.finditer(r"\\[ \t]*$", redacted.text[start:end], re.MULTILINE):
        redacted.show(start + match.start(), start + match.end())
    is_one = "=" not in part.split(maxsplit=1)[0] if part else True
    for match in _SETTING.finditer(redacted.text, start, end):
        if match[2] != "=" and not is_one:
            # Not a variable, but words of the unquoted value before it.
            continue
        redacted.show(match.start(1), match.end(2))
        if is_harmless_setting(match[1], match[3].strip("'\"")):
            redacted.show(match.start(3), match.end(3))
        if is_one and keyword != "ARG":
            # The older form has one variable, and the rest of the line is its value.
            _hide_unless_whole(redacted, match, end)
            return


def _hide_unless_whole(redacted: RedactedText, match: re.Match[str], end: int) -> None:
    if redacted.text[match.end() : end].strip():
        redacted.hide(match.start(3), end)


def _hide_comments(redacted: RedactedText, start: int, end: int) -> None:
    for match in re.finditer(r"(?m)^\s*#.*$", redacted.text[start:end]):
        redacted.hide(start + match.start(), start + match.end())

"""What of a Dockerfile may be shown: instructions, images, paths, and the harmless words of commands."""

from __future__ import annotations

import re

from dagster_module_builder.disclosure import words
from dagster_module_builder.disclosure.shown import Shown
from dagster_module_builder.disclosure.values import IMAGE, NAME, PATH, has_shape, is_harmless_setting
from dagster_module_builder.shared_files.formats.dockerfile import instructions

_KEYWORD = re.compile(r"\s*[A-Za-z]+")
_WORD = re.compile(r"[^\s\\]+")
_SETTING = re.compile(r"""([A-Za-z_][\w.-]*)(=|[ \t]+)("(?:[^"\\]|\\.)*"|'[^']*'|(?:[^\s\\]|\\[^\n])*)""", re.DOTALL)
_FILES = {"COPY", "ADD", "WORKDIR", "VOLUME", "EXPOSE", "USER", "STOPSIGNAL"}
_COMMANDS = {"RUN", "CMD", "ENTRYPOINT", "HEALTHCHECK", "SHELL", "ONBUILD"}


def show(shown: Shown) -> None:
    """Show what is harmless in a Dockerfile."""
    lines = [line.encode() for line in re.findall(r"[^\n]*\n|[^\n]+", shown.text)]
    for first, end, keyword in instructions(lines):
        _show_instruction(shown, keyword.decode(), shown.start_of(first), shown.start_of(end))


def _show_instruction(shown: Shown, keyword: str, start: int, end: int) -> None:
    match = _KEYWORD.match(shown.text, start)
    behind = match.end() if match else start
    shown.show(start, behind)
    if keyword in _COMMANDS:
        words.show(shown, behind, end)
        _hide_comments(shown, behind, end)
    elif keyword in {"ENV", "ARG", "LABEL"}:
        _show_settings(shown, keyword, behind, end)
    elif keyword == "FROM":
        _show_words(shown, behind, end, rf"{IMAGE}|AS|as|--platform=[\w/$]+|{NAME}")
    elif keyword in _FILES:
        # Behind the first line of a heredoc stands a file's content.
        end = start + len(shown.text[start:end].partition("\n")[0]) if "<<" in shown.text[behind:end] else end
        _show_words(shown, behind, end, rf"{PATH}|--from={NAME}|--chown=[\w:]+|--chmod=\d+|\d+(?::\d+)?")


def _show_words(shown: Shown, start: int, end: int, shape: str) -> None:
    for match in _WORD.finditer(shown.text, start, end):
        if has_shape(match[0], shape):
            shown.show(match.start(), match.end())


def _show_settings(shown: Shown, keyword: str, start: int, end: int) -> None:
    part = shown.text[start:end].lstrip()
    for match in re.finditer(r"\\[ \t]*$", shown.text[start:end], re.MULTILINE):
        shown.show(start + match.start(), start + match.end())
    is_one = "=" not in part.split(maxsplit=1)[0] if part else True
    for match in _SETTING.finditer(shown.text, start, end):
        if match[2] != "=" and not is_one:
            # No variable: words of a value before it that has no quotes.
            continue
        shown.show(match.start(1), match.end(2))
        if is_harmless_setting(match[1], match[3].strip("'\"")):
            shown.show(match.start(3), match.end(3))
        if is_one and keyword != "ARG":
            # The older form has one variable, and all that follows is its value.
            _hide_unless_whole(shown, match, end)
            return


def _hide_unless_whole(shown: Shown, match: re.Match[str], end: int) -> None:
    if shown.text[match.end() : end].strip():
        shown.hide(match.start(3), end)


def _hide_comments(shown: Shown, start: int, end: int) -> None:
    for match in re.finditer(r"(?m)^\s*#.*$", shown.text[start:end]):
        shown.hide(start + match.start(), start + match.end())

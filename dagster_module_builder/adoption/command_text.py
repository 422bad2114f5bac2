"""A command as it is written in a file: its words with their places, and the edits to make it read a workspace file.

A command stands in Compose files as text or as a list, in Dockerfiles in shell or exec form, and in scripts. They all
become words with places, so that one rule changes all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dagster_module_builder.adoption.commands import CODE_OPTIONS, option_of, role_of
from dagster_module_builder.adoption.model import Place

#: A line break that ends nothing, a comment, what ends a command, and a word.
_TOKEN = re.compile(r"\\\r?\n|(?<!\S)#[^\n]*|\n|&&|\|\||[;&|]|(?:[^\s;&|\\]|\\(?!\r?\n))+")
_SEPARATOR = re.compile(r"\n|&&|\|\||[;&|]")
_QUOTES = re.compile(r"(?:\\?[\"'])+")
#: Words that mean themselves in every form, and what may stand between two words of a command.
_PLAIN = re.compile(r"[\w./:@=+-]+")
_BETWEEN = re.compile(r"[\s,\\-]*")
_JSON_ITEM = re.compile(r'"(?:[^"\\]|\\.)*"')
#: The options of ``dg dev`` that ``dagster dev`` has too.
_OF_BOTH = {"-h", "--host", "-p", "--port", "--log-level", "--code-server-log-level", "--log-format",
            "--live-data-poll-rate"}  # fmt: skip
_LOADING = ("webserver", "daemon", "dev")


class UneditableError(Exception):
    """A command cannot be changed safely; the text says why, as a part of a sentence."""

    def __init__(self, why: str, place: Place | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.place = place


@dataclass(frozen=True)
class Source:
    """A file that has a command: its path and its text; a byte order mark is left out."""

    path: Path
    text: str

    def line(self, position: int) -> int:
        """Return the line of a position, counted from 1."""
        return self.text.count("\n", 0, position) + 1


@dataclass(frozen=True)
class Word:
    """A word of a command.

    Attributes:
        text: The word, without quotes around it; variables and escapes stay as they are written.
        source: The file.
        start: Where it begins in the file, with its own quotes.
        end: Where it ends.
        form: Whether it is an item of a list on its own line (``block``), of one in brackets (``flow``), or in a text.
        inner_end: Where it ends without its quotes.
    """

    text: str
    source: Source
    start: int
    end: int
    form: Literal["block", "flow", "text"] = "text"
    inner_end: int = -1

    @property
    def separates(self) -> bool:
        """Whether it ends a command: ``&&``, ``;``, a line break."""
        return bool(_SEPARATOR.fullmatch(self.text))

    def written(self, text: str) -> str:
        """Return another word in the quotes of this one."""
        quote = self.source.text[self.start]
        return f"{quote}{text}{quote}" if self.form != "text" and quote in "\"'" else text


@dataclass(frozen=True)
class Command:
    """A program of Dagster's that loads code, as it is written.

    Attributes:
        words: Its words.
        program: The position of the word that ends the program's name: ``dagster-webserver``, or ``dev``.
        options: The options that say which code it loads, each with its value.
    """

    words: tuple[Word, ...]
    program: int
    options: tuple[tuple[Word, ...], ...]

    @property
    def meaning(self) -> frozenset[tuple[str | None, str]]:
        """What it loads: the kinds of its options, with their values."""
        parts = ("=".join(word.text for word in option).partition("=") for option in self.options)
        return frozenset((option_of(name), value) for name, _, value in parts)


@dataclass(frozen=True)
class Edit:
    """A text that takes the place of another one."""

    source: Source
    start: int
    end: int
    text: str


def words_in(source: Source, start: int, end: int, *, by_line: bool = False) -> list[Word]:
    """Return the words of a part of a file that is text.

    Args:
        source: The file.
        start: Where it begins.
        end: Where it ends.
        by_line: Whether a line break ends a command, and ``#`` begins a comment.
    """
    words = []
    for match in _TOKEN.finditer(source.text, start, end):
        text = match[0]
        goes_on = text.startswith("\\") and text.endswith("\n")
        if (not goes_on and text != "\n" and not (by_line and text.startswith("#"))) or (text == "\n" and by_line):
            words.append(_word(source, match.start(), match.end()))
    return words


def _word(source: Source, start: int, end: int) -> Word:
    """Return a word; quotes that only begin or only end with it belong to a longer text."""
    text = source.text[start:end]
    before, behind = _QUOTES.match(text), re.search(rf"{_QUOTES.pattern}$", text)
    if before and before.end() == len(text):
        return Word(text, source, start, end, inner_end=end)
    first = before.end() if before else 0
    last = behind.start() if behind else len(text)
    whole = bool(before and behind)
    inner = start + last
    return Word(text[first:last], source, start if whole else start + first, end if whole else inner, inner_end=inner)


def items_in(source: Source, items: Sequence[tuple[int, int, str]], form: Literal["block", "flow"]) -> list[Word]:
    """Return the words of a list.

    Args:
        source: The file.
        items: Where each item is, and its value.
        form: How the list is written.
    """
    words: list[Word] = []
    for start, end, value in items:
        if not re.search(r"\s", value.strip()):
            words.append(Word(value, source, start, end, form, end))
            continue
        words.extend(words_in(source, *_inside(source.text, start, end), by_line=source.text[start] == "|"))
    return words


def _inside(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the content of a scalar is: without quotes, or without the first line of a block."""
    if text[start] in "|>":
        return text.index("\n", start) + 1, end
    return (start + 1, end - 1) if text[start] in "\"'" else (start, end)


def json_items(source: Source, start: int, end: int) -> list[tuple[int, int, str]]:
    """Return the items of a list in JSON, as Dockerfiles have them."""
    matches = _JSON_ITEM.finditer(source.text, start, end)
    return [(match.start(), match.end(), match[0][1:-1]) for match in matches]


def loading_commands(words: Sequence[Word]) -> list[Command]:
    """Return the programs that load code and do not read a named workspace file yet.

    Args:
        words: A command, or all words of a script.

    Raises:
        UneditableError: What one of them loads cannot be told.
    """
    return [found for command in _commands(words) if (found := _command(command))]


def edits_of(command: Command, path: str) -> list[Edit]:
    """Return the edits with which a program reads a workspace file.

    Args:
        command: The program.
        path: The workspace file's path in the container.

    Raises:
        UneditableError: A part of it cannot be changed safely.
    """
    words, options = command.words, command.options
    edits = [*_with_dagster_dev(words, command.program)]
    if not options:
        return [*edits, _inserted(words, command.program, path)]
    edits += _replaced(options[0], path)
    edits += [_deleted(words, option) for option in options[1:]]
    return sorted(edits, key=lambda edit: (str(edit.source.path), edit.start))


def _commands(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Yield the commands between separators."""
    command: list[Word] = []
    for word in words:
        if word.separates:
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _command(words: Sequence[Word]) -> Command | None:
    if role_of(" ".join(word.text for word in words)) not in _LOADING:
        return None
    program = next(n for n in range(len(words)) if role_of(" ".join(word.text for word in words[: n + 1])))
    options = tuple(_code_options(words, program + 1))
    if not any(option_of(word.text) == "workspace" for word in words[program + 1 :]):
        return Command(tuple(words), program, options)
    if options:
        raise UneditableError("it names code and a workspace file", place_of(words[program]))
    return None


def _code_options(words: Sequence[Word], first: int) -> Iterator[tuple[Word, ...]]:
    """Yield the options that say which code is loaded, each with its value."""
    position = first
    while position < len(words):
        word = words[position]
        taken = 1
        if option_of(word.text) in CODE_OPTIONS:
            taken = 1 if "=" in word.text else 2
            yield _checked(words[position : position + taken], taken)
        position += taken


def _checked(option: Sequence[Word], count: int) -> tuple[Word, ...]:
    place = place_of(option[0])
    if len(option) < count:
        raise UneditableError(f"{option[0].text} has no value", place)
    for word in option:
        if "$" in word.text:
            raise UneditableError(f"{option[0].text} gets its value from a variable", place)
        if not _PLAIN.fullmatch(word.text):
            raise UneditableError(f"the words of {option[0].text} are quoted in a way that is not understood", place)
    if len({(word.source.path, word.form) for word in option}) > 1:
        raise UneditableError(f"{option[0].text} and its value are in different places", place)
    return tuple(option)


def place_of(word: Word) -> Place:
    """Return where a word is."""
    return Place(word.source.path, word.source.line(word.start))


def _with_dagster_dev(words: Sequence[Word], program: int) -> Iterator[Edit]:
    """Yield the edit with which ``dg dev``, which takes no workspace file, is ``dagster dev``: the same server."""
    if program == 0 or words[program - 1].text.rpartition("/")[2] != "dg":
        return
    for word in words[program + 1 :]:
        if word.text.startswith("-") and word.text.partition("=")[0] not in {*_OF_BOTH, *_code_names(word)}:
            raise UneditableError(
                f"'dagster dev' has no option {word.text.partition('=')[0]} of 'dg dev'", place_of(word)
            )
    dg = words[program - 1]
    yield Edit(dg.source, dg.start, dg.end, dg.written(f"{dg.text[:-2]}dagster"))


def _code_names(word: Word) -> set[str]:
    name = word.text.partition("=")[0]
    return {name} if option_of(name) in CODE_OPTIONS else set()


def _inserted(words: Sequence[Word], program: int, path: str) -> Edit:
    word = words[program]
    if word.form == "text":
        # ``sh -c "dagster-webserver"``: the quotes are around the whole command.
        within = program and re.fullmatch(r"-\w*c", words[program - 1].text)
        end = word.inner_end if within else word.end
        return Edit(word.source, end, end, f" -w {path}")
    return Edit(word.source, word.end, word.end, f"{_gap_before(words, program)}{word.written(f'--workspace={path}')}")


def _gap_before(words: Sequence[Word], position: int) -> str:
    """Return what stands between the items of a list: that before an item, or behind it."""
    word, text = words[position], words[position].source.text
    if word.form == "flow":
        return ", "
    line_start = text.rfind("\n", 0, word.start) + 1
    indent = text[line_start : word.start]
    ending = "\r\n" if "\r\n" in text else "\n"
    return f"{ending}{indent}" if not indent.strip("- ") else f"{ending}{' ' * len(indent)}"


def _replaced(option: Sequence[Word], path: str) -> Iterator[Edit]:
    first, last = option[0], option[-1]
    if len(option) == 1:
        yield Edit(first.source, first.start, first.end, first.written(f"--workspace={path}"))
    elif first.form == "text":
        yield Edit(first.source, first.start, last.end, f"-w {path}")
    else:
        yield Edit(first.source, first.start, first.end, first.written("-w"))
        yield Edit(last.source, last.start, last.end, last.written(path))


def _deleted(words: Sequence[Word], option: Sequence[Word]) -> Edit:
    """Return the edit that takes an option out, with what stands before it."""
    first, position = option[0], next(n for n, word in enumerate(words) if word is option[0])
    before = words[position - 1]
    if before.source is not first.source or not _BETWEEN.fullmatch(first.source.text, before.end, first.start):
        raise UneditableError(f"{first.text} stands where it cannot be taken out", place_of(first))
    return Edit(first.source, before.end, option[-1].end, "")


def applied(text: str, edits: Sequence[Edit]) -> str:
    """Return a text after edits that do not overlap."""
    for edit in sorted(set(edits), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def edited_command(command: str, path: str) -> str:
    """Return a command line that reads a workspace file instead of what its options name.

    Example:
        ``"dagster dev -m shop -p 1"`` -> ``"dagster dev -w /srv/workspace.yaml -p 1"``

    Raises:
        UneditableError: It cannot be changed safely.
    """
    source = Source(Path(), command)
    found = loading_commands(words_in(source, 0, len(command), by_line=True))
    return applied(command, [edit for each in found for edit in edits_of(each, path)])

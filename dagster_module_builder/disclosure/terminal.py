"""The writer of stdout and stderr: text from elsewhere cannot control the terminal that shows it."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TextIO

from dagster_module_builder.disclosure.messages import harmless_text

#: Control characters except tab and line feed (Unicode's category Cc); characters that change the order or the lines
#: of text (Unicode Standard Annex 9, explicit formatting; U+2028, U+2029); halves of surrogate pairs, which stand for
#: undecodable bytes and cannot be written.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
#: ECMA-48, SELECT GRAPHIC RENDITION: it only changes how the characters after it look.
_COLOUR = re.compile("(\x1b\\[[0-9;:]{0,40}m)")

#: Descriptors without a reader: closed from the start, or closed by their reader.
_UNREAD: set[int] = set()
#: The functions below that write nothing at present, by their names.
_SILENT: set[str] = set()


def shown(text: str) -> str:
    r"""Return a text with its control characters escaped.

    >>> shown("\x1b[2J")
    '\\x1b[2J'
    """
    return _UNSAFE.sub(_escape, text)


def coloured(text: str) -> str:
    r"""Return a program's lines as ``shown`` does, but with their colours, and with ``\n`` for ``\r\n``.

    >>> coloured("\x1b[31mred\x1b[2J\r\n")
    '\x1b[31mred\\x1b[2J\n'
    """
    parts = _COLOUR.split(text.replace("\r\n", "\n"))
    return "".join(part if number % 2 else shown(part) for number, part in enumerate(parts))


def uncoloured(text: str) -> str:
    r"""Return a program's lines as ``coloured`` does, but without their colours.

    >>> uncoloured("\x1b[31mred\x1b[2J\r\n")
    'red\\x1b[2J\n'
    """
    return shown(_COLOUR.sub("", text.replace("\r\n", "\n")))


def _escape(match: re.Match[str]) -> str:
    number = ord(match[0])
    return "\\r" if number == 13 else f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def write(stream: TextIO | None, text: str, *, end: str = "\n", form: Callable[[str], str] = shown) -> bool:
    """Write a text without delay, and return whether it still has a reader.

    A reader who stops reading does not stop the work. Nothing is written to a closed stream.

    Args:
        stream: Where to write.
        text: The text.
        end: Written after it.
        form: Escapes what could control a terminal.
    """
    if stream is None:
        return False
    safe = (
        form(harmless_text(text))
        .encode(stream.encoding or "utf-8", "backslashreplace")
        .decode(stream.encoding or "utf-8")
    )
    try:
        print(safe, file=stream, end=end, flush=True)
    except BrokenPipeError:
        leave(stream)
        return False
    return True


def say(text: str = "") -> None:
    """Print a line of the result."""
    if "say" not in _SILENT:
        write(sys.stdout, text)


def inform(text: str, *, end: str = "\n") -> None:
    """Print a message, which is not part of the result, to stderr."""
    if "inform" not in _SILENT:
        alert(text, end=end)


def alert(text: str, *, end: str = "\n") -> None:
    """Print what cannot be left out to stderr: an error, a warning, a question and what it is about."""
    write(sys.stderr, text, end=end)


@contextlib.contextmanager
def silent(*, say: bool = False, inform: bool = False) -> Iterator[None]:
    """Let ``say`` or ``inform`` write nothing for a while."""
    added = {name for name, is_silent in (("say", say), ("inform", inform)) if is_silent} - _SILENT
    _SILENT.update(added)
    try:
        yield
    finally:
        _SILENT.difference_update(added)


def shows_progress() -> bool:
    """Return whether a person at a terminal sees the messages."""
    return sys.stderr.isatty() and "inform" not in _SILENT


def has_reader() -> bool:
    """Return whether stdout still has a reader."""
    return 1 not in _UNREAD


def leave(stream: TextIO) -> None:
    """Discard whatever is written to a stream from now on, since its reader has gone."""
    _UNREAD.add(stream.fileno())
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, stream.fileno())
    os.close(handle)


def flush() -> None:
    """Write everything before the interpreter exits, which would print an error if the reader has gone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                with contextlib.suppress(OSError, ValueError):
                    leave(stream)


def let_readers_go() -> None:
    """Let stock Invoke exit quietly when the reader of its task list has gone (``invoke --list | head``)."""
    atexit.register(flush)
    usual = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, BrokenPipeError):
            usual(kind, error, trace)
            return
        for stream in (sys.stdout, sys.stderr):
            leave(stream)
        os._exit(0)

    sys.excepthook = hook


def open_descriptors() -> None:
    """Open the standard streams that are closed, so that the next file opened does not become stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # This is the lowest free number: those below are open by now.
            os.open(os.devnull, os.O_RDWR)
            _UNREAD.add(number)
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)

"""The one door to stdout and stderr: what comes from elsewhere cannot steer the terminal that shows it."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from dagster_module_builder.disclosure.messages import harmless_text

#: Control characters but tab and line feed (Unicode's category Cc); marks that change the order or the lines of what
#: is read (Unicode Standard Annex 9, explicit formatting; U+2028, U+2029); halves of surrogate pairs, which stand for
#: bytes that are no text and cannot be written.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
#: ECMA-48, SELECT GRAPHIC RENDITION: it changes how the characters behind it look, and nothing else.
_COLOUR = re.compile("(\x1b\\[[0-9;:]{0,40}m)")

#: The descriptors that nobody reads: closed from the start, or left by their reader.
_UNREAD: set[int] = set()


def shown(text: str) -> str:
    r"""Return a text as it may be shown: control characters as their escapes.

    >>> shown("\x1b[2J")
    '\\x1b[2J'
    """
    return _UNSAFE.sub(_escape, text)


def coloured(text: str) -> str:
    r"""Return lines of a program as they may be shown: as ``shown`` does, but for colours and the ends of lines.

    >>> coloured("\x1b[31mred\x1b[2J\r\n")
    '\x1b[31mred\\x1b[2J\n'
    """
    parts = _COLOUR.split(text.replace("\r\n", "\n"))
    return "".join(part if number % 2 else shown(part) for number, part in enumerate(parts))


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    return "\\r" if number == 13 else f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def write(stream: TextIO | None, text: str, *, end: str = "\n", form: Callable[[str], str] = shown) -> bool:
    """Write a text at once; tell whether it is still read.

    Who stops reading does not stop the work; a stream that is closed takes nothing.

    Args:
        stream: Where it is shown.
        text: The text.
        end: What is written behind it.
        form: Makes it one that cannot steer a terminal.
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
    write(sys.stdout, text)


def tell(text: str, *, end: str = "\n") -> None:
    """Print a message that is no result."""
    write(sys.stderr, text, end=end)


def has_reader() -> bool:
    """Tell whether the result that was printed can have been read."""
    return 1 not in _UNREAD


def leave(stream: TextIO) -> None:
    """Let nothing more reach a stream's reader, who has gone."""
    _UNREAD.add(stream.fileno())
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, stream.fileno())
    os.close(handle)


def flush() -> None:
    """Have everything written before the interpreter ends, which would complain of a reader that has gone."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except (OSError, ValueError):
                with contextlib.suppress(OSError, ValueError):
                    leave(stream)


def let_readers_go() -> None:
    """Have a program that is not ours (stock Invoke) end well where the reader of its list has read enough."""
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
    """Open what this process began without: the next file that is opened must not become stdout."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those below are open by now.
            os.open(os.devnull, os.O_RDWR)
            _UNREAD.add(number)
        if getattr(sys, name) is None:
            stream = os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False)
            setattr(sys, name, stream)

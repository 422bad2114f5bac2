"""The log of ``workspace.dev``: what Dagster writes goes into a file, and is shown when it is asked for."""

from __future__ import annotations

import codecs
import os
import re
from pathlib import Path
from typing import IO

from dagster_module_builder.native.native_folder import HOME

NAME = "dev.log"
#: Bytes from the end of a log that are read for its last lines.
_END = 1 << 16
_COLOUR = re.compile("\x1b\\[[0-9;:]*m")


def log_file(root: Path) -> Path:
    """Return the path of the log."""
    return root / HOME / NAME


def new_log(root: Path) -> IO[bytes]:
    """Begin a new log, which only its owner can read; the previous one is kept under another name."""
    file = log_file(root)
    if file.is_file():
        file.replace(file.with_name(f"{NAME}.1"))
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600), "wb")


def last_lines(file: Path, count: int) -> str:
    """Return the last lines of a log, without colours."""
    with file.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - _END))
        text = log.read().decode("utf-8", "replace")
    return "\n".join(_COLOUR.sub("", text).rstrip().splitlines()[-count:])


class Follower:
    """Reads a log while it is written, line by line."""

    def __init__(self, file: Path) -> None:
        self._log = file.open("rb")
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._unfinished = ""

    def new_lines(self) -> str:
        """Return the complete lines that were written since the last call."""
        text = self._unfinished + self._decoder.decode(self._log.read())
        lines, feed, self._unfinished = text.rpartition("\n")
        return lines + feed

    def close(self) -> str:
        """Close the log, and return what is left in it."""
        rest = self.new_lines() + self._unfinished
        self._log.close()
        return rest

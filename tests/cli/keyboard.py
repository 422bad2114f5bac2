"""A person at a terminal: a real pseudo-terminal, on which each question gets its answer."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.cli.terminal import Terminal

CTRL_C = "\x03"

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WAITS = re.compile(r"([\])]: |\[y/N\] )\Z")


@dataclass(frozen=True)
class Seen:
    """What stood on the screen at the end, and what the program ended with."""

    screen: str
    code: int


def type_into(terminal: Terminal, line: Sequence[str], answers: Mapping[str, Sequence[str]]) -> Seen:
    """Run a command; a question that contains one of these texts gets its answers in turn, any other one Return."""
    left = {question: list(given) for question, given in answers.items()}
    process, screen = pty.fork()
    if process == 0:
        os.chdir(terminal.cwd)
        os.execve(line[0], list(line), {**terminal.environment, "TERM": "dumb", "COLUMNS": "200"})
    shown, asked_up_to, typed = "", 0, ""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if not select.select([screen], [], [], 10)[0]:
            # What is typed while a program changes the terminal's mode is dropped.
            os.write(screen, typed.encode() if typed == CTRL_C else b"")
            continue
        try:
            more = os.read(screen, 65536)
        except OSError:  # Linux's way to say that the terminal is closed
            break
        if not more:
            break
        shown += _COLOUR.sub("", more.decode()).replace("\r\n", "\n")
        if _WAITS.search(shown):
            question, asked_up_to = shown[asked_up_to:], len(shown)
            typed = _answer(question, left)
            os.write(screen, typed.encode())
    else:
        os.kill(process, signal.SIGKILL)
    os.close(screen)
    _, status = os.waitpid(process, 0)
    return Seen(shown, os.waitstatus_to_exitcode(status))


def _answer(question: str, left: Mapping[str, list[str]]) -> str:
    given = next((answers.pop(0) for text, answers in left.items() if text in question and answers), "")
    return given if given == CTRL_C else given + "\n"

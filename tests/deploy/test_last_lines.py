"""The last line of what runs here or on a host reaches whoever waits for it, while it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.deploy.connection.answers import parsed
from dagster_module_builder.deploy.host_side.client import last_line as last_line_there
from dagster_module_builder.deploy.host_side.environments import reason
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.programs.last_lines import heard_by, last_line
from tests.deploy.host_process import start

#: Reads its input, writes more than a pipe holds, and a line that it draws again.
PROGRAM = """\
import sys, time
given = sys.stdin.read()
print("x" * 200_000)
print("one\\n10%\\r20%", file=sys.stderr, flush=True)
time.sleep(1.3)
print("two", flush=True)
sys.exit(int(given))
"""


@pytest.mark.parametrize("find", [last_line, last_line_there])
def test_the_last_line_is_what_a_terminal_would_show(find: object) -> None:
    assert callable(find)
    assert find(b"one\n 10%\r 20%\r\n\n") == "20%"
    assert find(b"") == find(None) == find(b"\n \n") == ""
    assert find("é".encode()[:1] + b" " + b"y" * 999) == "\ufffd " + "y" * 298


def test_a_program_here_is_heard_while_it_runs_and_its_answer_is_whole() -> None:
    heard: list[str] = []
    with heard_by(heard.append):
        answer = outside_programs.ask([sys.executable, "-c", PROGRAM], stdin=b"3", answers=(3,))
    assert heard == ["20%"]
    assert answer.out.split() == [b"x" * 200_000, b"two"]
    assert outside_programs.ask([sys.executable, "-c", "print(1)"]).out == b"1\n"
    assert heard == ["20%"]


def test_a_limit_holds_and_a_failure_is_told_with_its_words() -> None:
    with heard_by(lambda _line: None):
        with pytest.raises(ToolError, match=r"(?s)within 1 seconds.*20%"):
            outside_programs.ask([sys.executable, "-c", PROGRAM], stdin=b"0", limit=1, errors=-2)
        with pytest.raises(ToolError, match=r"(?s)exit status 1\).*10%"):
            outside_programs.ask([sys.executable, "-c", PROGRAM], stdin=b"1")


def test_a_program_on_a_host_is_heard_while_it_runs(tmp_path: Path) -> None:
    command = ["/bin/sh", "-c", "echo Collecting pandas; sleep 2.5; echo end"]
    process = start()
    assert process.stdin
    assert process.stdout
    with process:
        for request in (
            {"do": "layout", "base": str(tmp_path)},
            {"do": "run", "command": command, "cwd": str(tmp_path)},
        ):
            process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        messages = []
        while not any("said" in message.get("result", {}) for message in messages):
            line = process.stdout.readline()
            assert line
            if line.startswith(b"{"):
                messages.append(json.loads(line))
        process.stdin.close()
    assert [message["line"] for message in messages if "line" in message] == ["Collecting pandas"]
    assert messages[-1]["result"] == {"code": 0, "said": "Collecting pandas\nend\n"}


def test_a_line_of_a_host_has_a_limit() -> None:
    """A host may lie."""
    assert parsed(json.dumps({"line": "x" * 1000}).encode()) == {"line": "x" * 1000}
    assert parsed(json.dumps({"line": "x" * 1001}).encode()) is None
    assert parsed(json.dumps({"line": 1}).encode()) is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Collecting a\nERROR: No matching distribution\n", "ERROR: No matching distribution"),
        ("Using Python 3.11\n  \u00d7 No solution found\n  ╰─▶ a b", "\u00d7 No solution found\n  ╰─▶ a b"),
        ("Killed\n", "Killed"),
    ],
)
def test_why_an_installation_failed_is_told_without_what_it_did_before(said: str, why: str) -> None:
    assert reason(said) == why

"""What is shown cannot steer the terminal."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from rich.console import Console

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.commands.asking import line_prompts, menus
from dagster_module_builder.commands.asking.prompts import Choice, Prompt
from dagster_module_builder.commands.base import command
from dagster_module_builder.commands.steps_table import StepsTable
from dagster_module_builder.disclosure import terminal
from dagster_module_builder.programs import outside_programs
from tests.cli.quick_program import QuickProgram
from tests.cli.terminal import Terminal

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[2K\r\x9b1m\u202egpj\u2066\x00\udcff"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_control_characters_are_shown_escaped(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS S8: C0, C1, marks of direction, and bytes that are no text."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, stream, written)
    (terminal.say if stream == "stdout" else terminal.inform)(f"a\tb{EVIL}ä\nc")
    written.seek(0)
    assert written.read() == ("a\tb\\x1b]52;c;ZXZpbA==\\x07\\x1b[2K\\r\\x9b1m\\u202egpj\\u2066\\x00\\udcffä\nc\n")


def test_what_an_encoding_lacks_is_shown_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS S8: a terminal without UTF-8 is no reason for a traceback."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    terminal.say("ä")
    written.seek(0)
    assert written.read() == "\\xe4\n"


def test_hosts_and_steps_in_the_table_are_shown_escaped() -> None:
    """FAULTS S8: what a host says is neither a control nor markup."""
    table = StepsTable()
    table.update(f"[bold]one[/]{EVIL}", f"step{EVIL}")
    written = io.StringIO()
    Console(file=written, width=200, color_system=None).print(table._table())
    assert "[bold]one[/]\\x1b]52;" in written.getvalue()
    assert not set("\x1b\x07\r\x9b\u202e\x00") & set(written.getvalue())


def test_the_message_that_a_task_ends_with_is_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    """FAULTS S8: Invoke prints such a message as it is."""

    @command("ending", help={})
    def ending(_context: Context) -> None:
        raise Exit(EVIL, 2)

    with pytest.raises(Exit) as ended:
        ending(Context())
    assert (ended.value.code, ended.value.message) == (2, None)
    assert "\\x1b]52;" in (said := capsys.readouterr().err)
    assert "\x1b" not in said


def test_a_default_is_shown_escaped_and_given_back_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAULTS S8: the default of a question may come from a module's files."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert line_prompts.ask(Prompt("Title", EVIL)) == EVIL
    assert "\x1b]52" not in (said := capsys.readouterr().err)
    assert "\\x1b" in said


def test_a_modules_fragments_cannot_hide_lines_of_a_diff(full: Terminal, quick_program: QuickProgram) -> None:
    """FAULTS S8: a snippet whose line erases itself, and names of files."""
    module = full.root / "projects/sales"
    snippet = module / "workspace/local/dockerfile.snippet"
    snippet.write_bytes(snippet.read_bytes() + b"RUN evil #\x1b[2K\x1b[1A\rRUN true\n")
    (module / "deploy/\x1b[2Jleia").mkdir()
    (module / "deploy/\x1b[2Jleia/deployment.yaml").write_text("client: \x1b[1m[\n")
    for line in (["workspace.sync", "--dry-run"], ["workspace.validate"], ["deploy.list"], ["audit", "sales"]):
        result = quick_program.run(*line, environ=full.environment, folder=full.cwd)
        assert not {"\x1b", "\r", "\x9b"} & set(result.text), (line, result)
    assert "\\x1b[2Jleia" in quick_program.run("deploy.list", environ=full.environment, folder=full.cwd).text


@pytest.mark.parametrize(("line", "end"), [(["workspace.logs"], 0), (["workspace.down"], 0)], ids=str)
def test_what_containers_say_is_shown_escaped(
    full: Terminal, quick_program: QuickProgram, tmp_path: Path, line: list[str], end: int
) -> None:
    """FAULTS S8: Compose passes on what programs in containers, and builds, write."""
    (programs := tmp_path / "programs").mkdir()
    said = r"web  | \033]0;title\007\033[2Jdone\r\n"
    case = (
        'case "$*" in ps*) ;; *version*--short*) echo 2.30.0;; *version*) echo 27.0;; '
        '*config*) echo \'{"name": "x", "services": {}}\';; '
        f"*logs*|*down*) printf '{said}'; printf 'why\\033[2K\\n' >&2;; esac"
    )
    (programs / "docker").write_text(f"#!/bin/sh\n{case}\n")
    (programs / "docker").chmod(0o755)
    environ = {**full.environment, "PATH": f"{programs}:{os.environ['PATH']}"}
    result = quick_program.run(*line, environ=environ, folder=full.cwd)
    assert result.code == end, result
    assert "web  | \\x1b]0;title\\x07\\x1b[2Jdone\n" in (result.out if "logs" in line[0] else result.err)
    assert "why\\x1b[2K\n" in result.err
    assert not {"\x1b", "\x07"} & set(result.text)


def test_logs_end_with_their_reader(tmp_path: Path) -> None:
    """FAULTS S8: ``workspace.logs --follow | head`` ends, as it does without this program in between."""
    heard: list[str] = []

    def head(line: str) -> bool:
        heard.append(line)
        return len(heard) < 3

    endless = ["sh", "-c", "while :; do echo y; echo no >&2; done"]
    outside_programs.relay(endless, head, lambda _: False, named="logs")
    assert heard == ["y", "y", "y"]
    with pytest.raises(ToolError, match="logs failed: exit status 3"):
        outside_programs.relay(["sh", "-c", "echo x; exit 3"], lambda _: True, lambda _: True, named="logs")


@pytest.mark.parametrize("choices", [(), (Choice("a", f"A{EVIL}", f"G{EVIL}"), Choice("b", "B"))], ids=["text", "menu"])
def test_the_texts_of_questions_are_shown_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], choices: tuple[Choice, ...]
) -> None:
    """FAULTS S8: a template may come from elsewhere, too."""
    prompt = Prompt(f"Title{EVIL}", "a", choices)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert line_prompts.ask(prompt) == "a"
    with create_pipe_input() as keys, create_app_session(input=keys):
        keys.send_text("\r")
        assert menus.ask(prompt) == "a"
    # What draws a menu ends its lines with both characters.
    said = capsys.readouterr().err.replace("\r\n", "\n")
    assert not {"\x1b", "\x07", "\u202e"} & set(said)
    assert said.count("\\x1b]52") >= 2

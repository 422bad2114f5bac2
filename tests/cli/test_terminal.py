"""What is shown cannot steer the terminal."""

from __future__ import annotations

import io
import sys

import pytest

from dagster_module_builder import terminal
from tests.cli.conftest import Terminal
from tests.cli.quick_program import QuickProgram

EVIL = "\x1b]52;c;ZXZpbA==\x07\x1b[2K\r\x9b1m\u202egpj\u2066\x00\udcff"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_control_characters_are_shown_escaped(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS S8: C0, C1, marks of direction, and bytes that are no text."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, stream, written)
    (terminal.say if stream == "stdout" else terminal.tell)(f"a\tb{EVIL}ä\nc")
    written.seek(0)
    assert written.read() == ("a\tb\\x1b]52;c;ZXZpbA==\\x07\\x1b[2K\\r\\x9b1m\\u202egpj\\u2066\\x00\\udcffä\nc\n")


def test_what_an_encoding_lacks_is_shown_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS S8: a terminal without UTF-8 is no reason for a traceback."""
    written = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", written)
    terminal.say("ä")
    written.seek(0)
    assert written.read() == "\\xe4\n"


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

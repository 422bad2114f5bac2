"""What programs read when a task fails."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import console, namespace
from dagster_module_builder.commands.base import command
from tests.cli.quick_program import QuickProgram
from tests.cli.task_lines import line_of, without_tools
from tests.cli.terminal import Terminal

WITH_JSON = sorted(
    name for name in namespace.task_names if "json" in inspect.signature(namespace[name].body).parameters
)


@pytest.mark.parametrize("task", WITH_JSON)
def test_json_is_printed_in_failure(terminal: Terminal, quick_program: QuickProgram, tmp_path: Path, task: str) -> None:
    """FAULTS C12: a task with --json that fails prints JSON, and does not exit with 0."""
    terminal.root.mkdir()
    line = [*line_of(task), "--json"]
    result = quick_program.run(*line, environ=without_tools(terminal, tmp_path), folder=terminal.cwd)
    if result.code == 0:
        # Of what needs no workspace.
        assert json.loads(result.out) in ([], {"modules": []}, {"backups": []}), result
        return
    assert json.loads(result.out)["error"] in result.err, result


def test_a_deployment_that_fails_says_so_of_each_host_in_json(full: Terminal, quick_program: QuickProgram) -> None:
    """FAULTS C12: `deploy --json` that fails."""
    result = quick_program.run("deploy", "yoda", "--json", environ=full.environment, folder=full.cwd)
    answer = json.loads(result.out)
    assert result.code == 1, result
    assert "cannot be reached" in answer["error"]
    assert [(one["host"], one["step"]) for one in answer["results"]] == [("127.0.0.1:1", "prepare")]


def test_an_unreadable_deployment_does_not_hide_the_others(full: Terminal, quick_program: QuickProgram) -> None:
    """FAULTS C12: `deploy.list` lists the rest, names the broken one, and exits with 1."""
    broken = full.root / "projects/sales/deploy/leia/deployment.yaml"
    broken.parent.mkdir()
    broken.write_text("client: [\n")
    for flags in ([], ["--json"]):
        result = quick_program.run("deploy.list", *flags, environ=full.environment, folder=full.cwd)
        assert (result.code, "yoda" in result.out, str(broken) in result.text) == (1, True, True), result
    assert [("error" in one) for one in json.loads(result.out)].count(True) == 1


def test_a_question_answered_with_no_is_told_in_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS C12: what a person declines ends with JSON too."""
    monkeypatch.setattr(console, "_said_json", [])

    def declined(_context: Context, json: bool = False) -> None:
        raise Exit("Nothing was changed.", 1)

    with pytest.raises(Exit) as ended:
        command("declined", help={})(declined)(Context(), json=True)
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["error"] == "Nothing was changed."

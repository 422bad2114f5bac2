"""What programs read when a task fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from dagster_module_builder.commands import namespace
from dagster_module_builder.commands.base import command
from tests.cli.quick_program import QuickProgram
from tests.cli.task_lines import line_of, without_tools
from tests.cli.terminal import Terminal

#: Those that need nothing which could be missing.
NEVER_FAILING = {"completion", "skill", "version", "workspace.init"}


@pytest.mark.parametrize("task", sorted(namespace.task_names))
def test_json_is_printed_in_failure(terminal: Terminal, quick_program: QuickProgram, tmp_path: Path, task: str) -> None:
    """FAULTS C12: a task with --json that fails prints JSON, and does not exit with 0."""
    terminal.root.mkdir()
    line = [*line_of(task), "--json"]
    result = quick_program.run(*line, environ=without_tools(terminal, tmp_path), folder=terminal.cwd)
    if result.code == 0:
        # Of what needs no workspace.
        listed = ([], {"modules": []}, {"backups": []})
        assert task in NEVER_FAILING or without_next(json.loads(result.out)) in listed, result
        return
    said = json.loads(result.out)
    # 'doctor' goes on, and has found that there is no workspace.
    assert said["error"] in result.err if task != "doctor" else said["ok"] is False, result


def without_next(said: object) -> object:
    return {name: value for name, value in said.items() if name != "next"} if isinstance(said, dict) else said


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
    capsys: pytest.CaptureFixture[str],
) -> None:
    """FAULTS C12: what a person declines ends with JSON too."""

    def declined(_context: Context) -> None:
        raise Exit("Nothing was changed.", 1)

    with pytest.raises(Exit) as ended:
        command("declined", help={})(declined)(Context(), json=True)
    assert ended.value.code == 1
    assert json.loads(capsys.readouterr().out)["error"] == "Nothing was changed."


@pytest.mark.parametrize("line", ["workspace.restore", "workspace.sync --check"])
def test_a_task_that_fails_on_the_way_says_why_beside_what_it_found(workspace: Terminal, line: str) -> None:
    """A backup is shown and not restored without --yes; a check has found what would change."""
    workspace.done("new", "sales", "--no-input", "--workspace", "yes")
    if line == "workspace.restore":
        (backup, *_) = json.loads(workspace.done("workspace.backups", "--json"))["backups"]
        line = f"{line} {backup['identity']}"
    else:
        fragment = workspace.root / "projects/sales/workspace/local/.env"
        fragment.write_text(fragment.read_text() + "SALES_MORE='1'\n")
    result = workspace.run(*line.split(), "--json")
    said = json.loads(result.stdout)
    assert result.returncode == 1
    assert said["error"] in result.stderr
    assert said["files"]

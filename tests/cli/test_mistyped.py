"""Mistakes that people make at the keyboard, each with what they read then; and spellings that are understood."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.cli.keyboard import type_into
from tests.cli.terminal import PROGRAM, Terminal
from tests.engine.folders import make_module, make_workspace

INVOKE = Path(sys.executable).with_name("invoke")
REPOSITORY = Path(__file__).resolve().parents[2]
MISTAKES = {
    "workspce.add sales-report": (2, "Unknown task 'workspce.add'. Did you mean 'workspace.add'?"),
    "workspace": (2, "'workspace' is a group of tasks: workspace.init, workspace.add, "),
    "frobnicate": (2, "Unknown task 'frobnicate'. --list shows all tasks."),
    "workspace.add sales-report --dryrun": (
        2,
        "Unknown flag '--dryrun' of 'workspace.add'. Did you mean '--dry-run'?",
    ),
    "workspace.add sales-report --frobnicate": (
        2,
        "Unknown flag '--frobnicate' of 'workspace.add'. 'workspace.add --help' shows its flags.",
    ),
    "workspace.add sales-report seo": (2, "Unexpected argument 'seo'. 'workspace.add --help' shows what it takes."),
    "deploy rolback yoda": (2, "Unexpected argument 'yoda'. Did you mean 'deploy.rollback'?"),
    "audit sales-reprot": (1, "No module 'sales-reprot' in {root}/projects. Did you mean 'sales-report'?"),
    "workspace.remove sales-reprot": (1, "'sales-reprot' is not in the workspace. Did you mean 'sales-report'?"),
    "deploy yodda": (1, "No deployment 'yodda' of any module in {root}/projects. Did you mean 'yoda'?"),
    "new x --database postgres": (2, "Unknown database 'postgres'. Did you mean 'postgresql'?"),
    "workspace.remove": (2, "'workspace.remove' needs the name of a module. One of these in {root}: sales-report."),
    "workspace.add": (2, "'workspace.add' needs the name of a module. There is none in {root}."),
    "workspace.restore": (2, "'workspace.restore' needs the name of a backup. One of these in {root}: 2"),
    "deploy.status": (2, "'deploy.status' needs the name of a deployment. One of these in {root}: yoda."),
}
MEANT = {
    "workspace list": "workspace.list",
    "workspace list --json": "workspace.list --json",
    "workspace remove sales_report --dry-run": "workspace.remove sales-report --dry-run",
    "help workspace.add": "--help workspace.add",
}


@pytest.fixture
def workspace(terminal: Terminal) -> Terminal:
    make_workspace(terminal.root)
    folder = make_module(terminal.root, "sales-report")
    (folder / "deploy/yoda").mkdir(parents=True)
    (folder / "deploy/yoda/deployment.yaml").write_text("client: Yoda\n")
    terminal.done("workspace.add", "sales-report", "--no-check")
    return terminal


@pytest.mark.parametrize("typed", MISTAKES)
def test_a_mistake_is_said_with_what_was_probably_meant(workspace: Terminal, typed: str) -> None:
    code, message = MISTAKES[typed]
    refused = workspace.refused(*typed.split(), code=code)
    assert message.format(root=workspace.root) in refused


@pytest.mark.parametrize("typed", ["workspce.add sales-report", "workspace.add sales-report --dryrun", "deploy yodda"])
def test_stock_invoke_says_the_same(workspace: Terminal, typed: str) -> None:
    code, message = MISTAKES[typed]
    said = replace(workspace, cwd=REPOSITORY).run(*typed.split(), program=(str(INVOKE),))
    assert (said.returncode, said.stdout) == (code, "")
    assert message.format(root=workspace.root) in said.stderr


@pytest.mark.parametrize("typed", MEANT)
@pytest.mark.parametrize("kind", ["program", "invoke"])
def test_what_is_meant_is_done(workspace: Terminal, kind: str, typed: str) -> None:
    terminal = replace(workspace, cwd=REPOSITORY) if kind == "invoke" else workspace
    program = (str(INVOKE if kind == "invoke" else PROGRAM),)
    said, meant = (terminal.run(*line.split(), program=program) for line in (typed, MEANT[typed]))
    assert (said.returncode, said.stdout, said.stderr) == (0, meant.stdout, meant.stderr)


def test_a_name_that_is_missing_is_asked_for(workspace: Terminal) -> None:
    answers = {"not one of": ["1"], "Which module?": ["sales-reprot"], "[y/N]": ["y"]}
    seen = type_into(workspace, [str(PROGRAM), "workspace.remove"], answers)
    assert seen.code == 0
    assert "  1. sales-report" in seen.screen
    assert "'sales-reprot' is not one of sales-report. Did you mean 'sales-report'?" in seen.screen
    assert workspace.done("workspace.list", "--json").count('"integrated": false') == 1


def test_going_back_changes_nothing(workspace: Terminal) -> None:
    seen = type_into(workspace, [str(PROGRAM), "workspace.remove"], {"Which module?": ["<"]})
    assert seen.code == 1
    assert "Nothing was changed." in seen.screen


def test_underscores_and_dashes_are_one_name(workspace: Terminal) -> None:
    workspace.done("workspace.remove", "sales_report")
    workspace.done("workspace.add", "sales_report", "--no-check")
    assert "sales-report" in workspace.refused("audit", "sales_report") + workspace.run("audit", "sales_report").stdout

"""The skill: what it has of the program is all of it, and its command lines of this machine work in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from invoke.parser import Parser

from dagster_module_builder.commands import namespace
from tests.cli.message_texts import CONTEXTS
from tests.cli.skill_page import MODES, REMOTE, SKILL, mentioned
from tests.cli.terminal import Terminal

PAGE = Path(__file__).parents[2] / "skills/dagster-module-builder/SKILL.md"
#: Flags that are said once, for every task that takes them.
GENERAL = {"--root", "--json", "--quiet", "--module", "--host", "--limit", "--wait"}
#: What is left out on purpose, and why.
LEFT_OUT = {
    "--name": "a name is given by its place",
    "--identity": "as a name",
    "--release": "as a name",
    "--path": "as a name",
    "--branch": "as a name",
}


@pytest.mark.parametrize("line", [*SKILL.typed(), *mentioned(SKILL)], ids=" ".join)
def test_the_program_takes_every_command_line(line: list[str]) -> None:
    if "--all" in line:  # What a task takes in place of a name is decided when the program starts.
        line = [line[0], "--name", "stock", *line[1:]]
    if line[0] == "deploy.rollback" and line[2:3] == ["RELEASE"]:
        line = [*line[:2], "--release", *line[2:]]
    if line[:2] == ["deploy.preview", "BRANCH"]:
        line = [line[0], "--branch", *line[1:]]
    # A task that is only named has nothing behind it.
    (parsed,) = Parser(namespace.to_contexts()).parse_argv(line) if line[1:] else [CONTEXTS[line[0]]]
    assert line[0] in {parsed.name, *parsed.aliases}


def test_every_mode_has_its_section() -> None:
    modes = re.findall(r"^## Mode: (\S+)$", SKILL.text, re.MULTILINE)
    assert modes == ["new", "workspace", "audit", "upgrade", "configure-deployment", "deploy"]


def test_every_task_and_flag_is_in_the_skill_or_left_out_on_purpose() -> None:
    """FAULTS P14: half of the tasks were not."""
    lines = [*SKILL.typed(), *mentioned(SKILL)]
    told: dict[str, set[str]] = {}
    for line in lines:
        told.setdefault(CONTEXTS[line[0]].name or "", set()).update(word for word in line[1:] if word.startswith("--"))
    tasks = {context.name: context for context in namespace.to_contexts() if context.name}
    assert set(tasks) - set(told) == set()
    flags = {(name, flag) for name, context in tasks.items() for flag in context.flags if flag.startswith("--")}
    missing = {(name, flag) for name, flag in flags if flag not in told[name] | GENERAL | set(LEFT_OUT)}
    assert missing == set()
    assert {code.split()[0] for code in SKILL.inline()} >= GENERAL
    assert set(LEFT_OUT) <= {flag for _, flag in flags}


def test_what_is_said_of_all_tasks_is_so() -> None:
    """FAULTS P14: ``--dry-run`` was promised where there is none."""
    (sentence,) = re.findall(r"`--dry-run` is available for ([^.]*(?:\.[a-z][^.]*)*)[.:]", SKILL.text)
    takes = {name for name, context in CONTEXTS.items() if name and "--dry-run" in context.flags} - {"deploy.deploy"}
    assert set(re.findall(r"`([a-z.-]+)`", sentence)) == takes


#: What the commands say when they found something.
FINDS = {"audit --all --json", "upgrade stock --check", "upgrade --all --check"}


def test_the_commands_work_one_after_the_other(terminal: Terminal) -> None:
    for line in MODES.typed():
        if line[0] in REMOTE:
            continue
        done = terminal.run(*line)
        assert done.returncode == 0 or (done.returncode == 1 and " ".join(line) in FINDS), f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr


def test_one_command_installs_it_where_agents_look(terminal: Terminal) -> None:
    assert terminal.done("skill") == f"{PAGE}\n"
    (terminal.cwd / ".claude").mkdir()
    terminal.done("skill", "--install")
    installed = terminal.cwd / ".claude/skills/dagster-module-builder/SKILL.md"
    assert installed.read_bytes() == PAGE.read_bytes()
    assert not (terminal.cwd / ".agents").exists()
    installed.write_text("of an earlier version")
    terminal.done("skill", "--install")
    assert installed.read_bytes() == PAGE.read_bytes()


def test_it_is_installed_in_a_folder_that_is_named(terminal: Terminal, tmp_path: Path) -> None:
    terminal.done("skill", "--folder", str(tmp_path / "of the team"))
    assert (tmp_path / "of the team/dagster-module-builder/SKILL.md").read_bytes() == PAGE.read_bytes()

"""The skill: every command line in it is one that the program takes, and those of this machine work in their order."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from invoke.parser import Parser

from dagster_module_builder.commands import namespace
from tests.cli.conftest import Terminal

SKILL = Path(__file__).parents[2] / "skills/dagster-module-builder/SKILL.md"
PROGRAM = "dagster-module-builder"
#: These speak to hosts.
REMOTE = {"deploy", "deploy.check", "deploy.status"}


def commands(text: str) -> list[list[str]]:
    """Return the command lines, in blocks and in sentences."""
    blocks = re.findall(rf"^\$ {PROGRAM} (.*)$", text, re.MULTILINE)
    return [shlex.split(line) for line in blocks]


def mentioned(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(rf"`{PROGRAM} ([^`]*)`", text)]


@pytest.mark.parametrize("line", [*commands(SKILL.read_text()), *mentioned(SKILL.read_text())], ids=" ".join)
def test_the_program_takes_every_command_line(line: list[str]) -> None:
    if "--all" in line:  # What a task takes in place of a name is decided when the program starts.
        line = [line[0], "--name", "stock", *line[1:]]
    contexts = namespace.to_contexts()
    (parsed,) = Parser(contexts).parse_argv(line)
    assert line[0] in {parsed.name, *parsed.aliases}


def test_every_mode_has_its_section() -> None:
    modes = re.findall(r"^## Mode: (\S+)$", SKILL.read_text(), re.MULTILINE)
    assert modes == ["new", "workspace", "audit", "upgrade", "configure-deployment", "deploy"]


#: What the commands say when they found something.
FINDS = {"audit --all --json", "upgrade stock --check", "upgrade --all --check"}


def test_the_commands_work_one_after_the_other(terminal: Terminal) -> None:
    for line in commands(SKILL.read_text()):
        if line[0] in REMOTE:
            continue
        done = terminal.run(*line)
        assert done.returncode == 0 or (done.returncode == 1 and " ".join(line) in FINDS), f"{line}\n{done.stderr}"
        assert "Traceback" not in done.stderr

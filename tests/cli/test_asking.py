"""What a person at a terminal is asked, and what becomes of their answers."""

from __future__ import annotations

import json
import socket

from tests.cli.keyboard import CTRL_C, type_into
from tests.cli.terminal import PROGRAM, Terminal, everything_in

QUICK = ["--governance", "quick", "--executor", "in_process", "--code-server", "shared", "--starter", "empty"]


def test_a_person_sees_the_machine_first_and_is_asked_again_what_cannot_be(workspace: Terminal) -> None:
    """FAULTS E8: a port that is taken is refused at the prompt, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = str(server.getsockname()[1])
        title, ports = [" ", 'My "T" {{ x }}'], ["99", taken, "5999"]
        seen = type_into(
            workspace,
            [str(PROGRAM), "new", "sales", *QUICK],
            {"Title": title, "Database\n": ["2"], "Database port": ports},
        )

    assert seen.code == 0, seen.screen
    assert seen.screen.index("Found: Python") < seen.screen.index("Title")
    assert seen.screen.count("Found: Python") == 1
    assert "The title is empty" in seen.screen
    assert "'99' is not a valid database port. Use a number from 1024 to 65535." in seen.screen
    assert f"The port {taken} is taken: a program on this machine listens on it" in seen.screen
    answers = json.loads((workspace.root / "projects/sales/.dagster-module.json").read_text())["answers"]
    assert (answers["title"], answers["database"], answers["database_port"]) == ('My "T" {{ x }}', "postgresql", "5999")


def test_a_wrong_flag_is_refused_before_any_question_and_an_interrupt_leaves_nothing(workspace: Terminal) -> None:
    before = everything_in(workspace.root)

    for flags, code in ((["--database", "oracle"], 2), (["--database", "mysql", "--port", "99"], 1)):
        seen = type_into(workspace, [str(PROGRAM), "new", "sales", *flags], {})
        assert seen.code == code, seen.screen
        assert "Title" not in seen.screen
    seen = type_into(workspace, [str(PROGRAM), "new", "sales"], {"Description in one": [CTRL_C]})

    assert (seen.code, seen.screen.rstrip().splitlines()[-1][-12:]) == (130, "Interrupted.")
    assert everything_in(workspace.root) == before


def test_a_module_outside_is_moved_only_with_a_yes(workspace: Terminal) -> None:
    workspace.done("new", "sales", *QUICK)
    outside = workspace.cwd / "sales"
    (workspace.root / "projects/sales").rename(outside)

    for answer, stays in (("n", True), ("y", False)):
        seen = type_into(workspace, [str(PROGRAM), "workspace.add", str(outside), "--no-check"], {"Move it": [answer]})
        assert (seen.code, outside.is_dir()) == (int(stays), stays), seen.screen
    assert (workspace.root / "projects/sales/pyproject.toml").is_file()

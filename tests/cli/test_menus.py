"""What a person sees on a terminal that draws: menus, a filter, a way back."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.cli.screen import BACKSPACE, CTRL_C, DOWN, ESCAPE, RETURN, SPACE, UP, on_screen
from tests.cli.terminal import Terminal, everything_in

#: Sequences that only colour.
COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-9](;[0-9;]*)?m")


@pytest.mark.parametrize("columns", [60, 100])
def test_a_module_is_made_by_arrow_keys_filter_and_escape(workspace: Terminal, columns: int) -> None:
    with on_screen(workspace, "new", columns=columns, NO_COLOR="1") as screen:
        screen.waits_for("Module name").types("class", RETURN).waits_for("keyword of Python")
        screen.types(*[BACKSPACE] * 5, "sales", RETURN).waits_for("> none")
        screen.types("post").waits_for("> PostgreSQL").types(RETURN).waits_for("System requirements")
        screen.types("poppler", SPACE, *[BACKSPACE] * 7, "SSH", SPACE, RETURN).waits_for("Governance level")
        screen.types(ESCAPE).waits_for("? System requirements")
        assert screen.text.count("●") == 2
        screen.types(ESCAPE).waits_for("> PostgreSQL").types(UP).waits_for("> none").types(RETURN)
        screen.waits_for("? System requirements").types(RETURN).waits_for("? Governance")
        screen.types(DOWN).waits_for("> quick").types(RETURN).waits_for("? Add the module")
        screen.types(RETURN).waits_for("? Configure a deployment").types(RETURN).waits_for("> Create it")
        assert "requirements  ssh, pdf" in screen.text
        lines = screen.text.splitlines()
        screen.types(RETURN)
        assert screen.ends() == 0, screen.text
        assert not COLOUR.search(screen.written)
    # No word is broken at the edge.
    assert all(len(line) < columns for line in lines), lines
    answers = json.loads((workspace.root / "projects/sales/.dagster-module.json").read_text())["answers"]
    assert (answers["database"], answers["governance"]) == ("none", "quick")
    assert {name for name, answer in answers.items() if answer is True} == {"requires_ssh", "requires_pdf"}


def test_more_settings_ask_the_rest_and_escape_leads_back(full: Terminal) -> None:
    flags = ["--client", "ACME", "--hosts", "a.example", "--base-path", "~/dagster"]
    with on_screen(full, "configure-deployment", "sales", *flags) as screen:
        screen.waits_for("Name of the deployment").types("live", RETURN).waits_for("> git: exactly one commit")
        screen.types("rsy", RETURN).waits_for("> native").types(RETURN).waits_for("Where Dagster's").types(RETURN)
        screen.waits_for("> Create it").types("More", RETURN).waits_for("? User on the hosts")
        screen.types(ESCAPE).waits_for("> Create it").types(ESCAPE).waits_for("? Where Dagster's")
        screen.types("http://127.0.0.1:3999", RETURN).waits_for("> Create it").types("More", RETURN)
        screen.waits_for("? User on the hosts").types("ada; rm", RETURN).waits_for("write a user's name of letters")
        before = everything_in(full.root)
        screen.types(CTRL_C)
        assert screen.ends() == 130
    assert "http://127.0.0.1:3999" in screen.text
    assert everything_in(full.root) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_a_menu_and_gives_the_terminal_back(workspace: Terminal, number: signal.Signals) -> None:
    before = everything_in(workspace.root)
    with on_screen(workspace, "new", "sales") as screen:
        screen.waits_for("> none")
        cooked = screen.is_cooked()
        screen.gets(number)
        assert screen.ends(again=number) in {130, 128 + number}, screen.text
        assert (cooked, screen.was_cooked) == (False, True)
    assert everything_in(workspace.root) == before


@pytest.mark.parametrize(
    "environment",
    [{"TERM": "dumb"}, {"LANG": "C", "LC_ALL": "C"}, {"DAGSTER_MODULE_BUILDER_PLAIN": "1"}],
    ids=["dumb", "C", "screen-reader"],
)
def test_lines_are_asked_where_menus_cannot_be_drawn(workspace: Terminal, environment: dict[str, str]) -> None:
    """A screen reader reads lines; a terminal without a cursor or without UTF-8 shows nothing else."""
    with on_screen(workspace, "new", "--governance", "quick", columns=60, **environment) as screen:
        screen.waits_for("Module name").types("sales\n").waits_for("2. PostgreSQL")
        screen.types("duck\n").waits_for("System requirements").types("<\n").waits_for("[duckdb]")
        screen.types("\n").waits_for("Office documents").types("\n").waits_for("Add the module")
        screen.types("\n").waits_for("Configure a").types("\n").waits_for("Create it?").types("\n")
        assert screen.ends() == 0, screen.text
        assert not re.search("\x1b|[^\x00-\x7f]", screen.written), screen.written
    answers = json.loads((workspace.root / "projects/sales/.dagster-module.json").read_text())["answers"]
    assert answers["database"] == "duckdb"

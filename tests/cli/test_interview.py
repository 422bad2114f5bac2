"""The order of questions and the way back, and what a typed line answers; no terminal is needed for either."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dagster_module_builder.commands.asking.interview import Replies, Step, interview
from dagster_module_builder.commands.asking.prompts import BACK, Choice, GoneBack, Prompt, Reply, can_draw

STRATEGIES = Prompt("Strategy", "git", (Choice("git", "exactly one commit"), Choice("rsync", "the folder as it is")))
TOOLS = Prompt("Tools", (), (Choice("ssh", "SSH, SCP"), Choice("pdf", "PDF with poppler")), is_many=True)


@pytest.mark.parametrize(
    ("prompt", "typed", "answer"),
    [
        (STRATEGIES, "", "git"),
        (STRATEGIES, "2", "rsync"),
        (STRATEGIES, "RSYNC", "rsync"),
        (STRATEGIES, " rs ", "rsync"),
        (STRATEGIES, "one commit", "git"),
        (TOOLS, "", ()),
        (TOOLS, "none", ()),
        (TOOLS, "2, ssh,pdf", ("pdf", "ssh")),
        (TOOLS, "poppler", ("pdf",)),
        (Prompt("Title", "Sales"), "", "Sales"),
        (Prompt("Title", "Sales"), "-", ""),
        (Prompt("Title", "Sales"), "2", "2"),
        (Prompt("Client"), "", ""),
    ],
)
def test_what_a_typed_line_answers(prompt: Prompt, typed: str, answer: Reply) -> None:
    assert prompt.read(typed) == answer


@pytest.mark.parametrize(
    ("prompt", "typed"), [(STRATEGIES, "3"), (STRATEGIES, "0"), (STRATEGIES, "gti"), (TOOLS, "1,x")]
)
def test_what_is_no_answer_is_said_with_the_answers(prompt: Prompt, typed: str) -> None:
    with pytest.raises(ValueError, match=r"is not one of (git, rsync|ssh, pdf)"):
        prompt.read(typed)


def steps(answers: Replies) -> list[Step]:
    """A question that only one answer needs, between two that are always asked."""
    first = Step("kind", lambda: Prompt("Kind", "native"))
    network = [Step("network", lambda: Prompt("Network"))] if answers.get("kind") == "compose" else []
    return [first, *network, Step("sure", lambda: Prompt("Sure?"), back_if="no")]


@pytest.mark.parametrize(
    ("given", "typed", "answers", "asked"),
    [
        ({}, ["native", "yes"], {"kind": "native", "sure": "yes"}, ["Kind", "Sure?"]),
        ({"kind": "compose"}, ["n", "yes"], {"kind": "compose", "network": "n", "sure": "yes"}, ["Network", "Sure?"]),
        ({}, [BACK, "native", "yes"], {"kind": "native", "sure": "yes"}, ["Kind", "Kind", "Sure?"]),
        (
            {},
            ["compose", BACK, "native", "no", "native", "yes"],
            {"kind": "native", "sure": "yes"},
            ["Kind", "Network", "Kind", "Sure?", "Kind", "Sure?"],
        ),
    ],
)
def test_the_way_back_leads_to_the_question_before(
    given: Replies, typed: list[Reply | GoneBack], answers: Replies, asked: list[str]
) -> None:
    keys: Iterator[Reply | GoneBack] = iter(typed)
    seen: list[Prompt] = []

    def ask(prompt: Prompt) -> Reply | GoneBack:
        seen.append(prompt)
        return next(keys)

    assert interview(steps, given, ask) == answers
    assert [prompt.text for prompt in seen] == asked
    # The answer that was given before is offered again; what was never answered has its default.
    kinds = [prompt.default for prompt in seen if prompt.text == "Kind"]
    assert kinds == ["native", "compose" if "compose" in typed else "native", "native"][: len(kinds)]


@pytest.mark.parametrize(
    ("environment", "draws"),
    [
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
        ({}, False),
        ({"TERM": "xterm", "LANG": "de_DE.UTF-8", "LC_ALL": "C"}, False),
        ({"TERM": "xterm", "LANG": "POSIX"}, False),
        ({"TERM": "xterm", "DAGSTER_MODULE_BUILDER_PLAIN": "1"}, False),
    ],
)
def test_menus_are_drawn_where_a_terminal_can(
    environment: dict[str, str], draws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream:
        encoding = "utf-8"

    monkeypatch.setattr("sys.stderr", Stream())
    assert can_draw(environment) is draws

"""The recording in README.md: what a terminal showed, as a picture that moves and needs nothing else."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from dagster_module_builder.commands import namespace
from docs_site.recording.animation import svg
from docs_site.recording.film import LONGEST, Run, Shown, cut
from docs_site.recording.shell import shell_in

RECORDING = Path(__file__).parents[2] / "docs/images/recording.svg"
SVG = "{http://www.w3.org/2000/svg}"


def lines_of(text: str) -> list[str]:
    """Return the lines of an animation that are drawn."""
    return ["".join(part.itertext()) for part in ET.fromstring(text).iter(f"{SVG}g") if part.get("id")]


def test_a_shell_is_recorded_with_its_colours_and_waiting_is_cut(tmp_path: Path) -> None:
    with shell_in(tmp_path, {"PATH": "/usr/bin:/bin"}, 40, 5) as shell:
        shell.types("printf '\\033[1;32mgreen\\033[0m <&> \\n'; sleep 3; echo ready")
        shell.waits_for("\nready")
        shell.waits_for_prompt(10)
    film = cut(shell.pictures, last=1)
    assert sum(shown.seconds for shown in film) < 3 + sum(0.15 for _ in film)
    assert Run(0, "green", "green", bold=True) in {run for shown in film for line in shown.picture for run in line}
    drawn = lines_of(svg(film, 40, "A & B", "What happens"))
    assert "green<&>" in [line.replace(" ", "") for line in drawn]
    assert "ready" in drawn


def test_clocks_do_not_keep_a_picture() -> None:
    pictures = [(float(second), ((Run(0, f"⠋ Waiting ({second} s)"),),)) for second in range(60)]
    film = cut([*pictures, (60.0, ((Run(0, "Done"),),))], last=1)
    assert sum(shown.seconds for shown in film) == pytest.approx(LONGEST + 1, abs=0.2)


def test_it_needs_nothing_else_and_who_wants_no_movement_sees_the_end() -> None:
    film = [Shown(((Run(0, text),),), 1.0) for text in ("first", "last")]
    text = svg(film, 10, "A title", "A description")
    assert not re.search(r"<script|https?://(?!www\.w3\.org/2000/svg)|url\(|@import", text)
    assert ET.fromstring(text).find(f"{SVG}title") is not None
    still = text.partition("prefers-reduced-motion")[2]
    assert "animation:none" in still
    assert re.search(r"translateX\((-\d+)px\)", still)


def test_the_recording_shows_tasks_that_there_are_and_no_place_of_this_machine() -> None:
    """``nox -s recording`` makes it again."""
    text = RECORDING.read_text("utf-8")
    typed = {line for line in lines_of(text) if line.startswith("$ dagster-module-builder ")}
    tasks = {shlex.split(line)[2] for line in typed if len(shlex.split(line)) > 2}
    whole = {task for task in tasks if task in namespace.task_names or task == "deploy"}
    assert whole >= {"new", "workspace.add", "workspace.dev", "configure-deployment", "deploy"}
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg|127\.0\.0\.1)|/root|/home", text)
    assert len(text) < 400_000

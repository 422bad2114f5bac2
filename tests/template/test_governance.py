"""``docs/reference/governance.md`` says what each level adds: no more, no less."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.template.rendering import REPOSITORY

if TYPE_CHECKING:
    from tests.template.rendering import Desk, Rendering

LEVELS = ("quick", "standard", "enterprise")
_ROW = re.compile(r"^\| (?P<what>[^|]+) \| `(?P<path>[^`]+)`(?:: `(?P<text>[^`]+)`)? \|(?P<levels>(?:[ ●]+\|){3})$")


def documented() -> list[tuple[str, str | None, tuple[bool, ...]]]:
    """Return the rows of the table: a path, a text in it, and which levels have it."""
    lines = (REPOSITORY / "docs/reference/governance.md").read_text("utf-8").splitlines()
    rows = [_ROW.match(line) for line in lines if line.startswith("|") and "`" in line]
    assert all(rows)
    return [
        (row["path"], row["text"], tuple("●" in cell for cell in row["levels"].split("|")[:3])) for row in rows if row
    ]


def rendered_levels(desk: Desk) -> list[Rendering]:
    return [desk.rendered(f"{level}-data", governance=level, database="postgresql") for level in LEVELS]


def has(rendering: Rendering, path: str, text: str | None) -> bool:
    file = rendering.module / path.replace("PACKAGE", rendering.package.name)
    return file.is_file() and (text is None or text in file.read_text("utf-8"))


def test_each_level_has_what_the_table_says(desk: Desk):
    renderings = rendered_levels(desk)

    found = [
        (path, text, tuple(has(rendering, path, text) for rendering in renderings)) for path, text, _ in documented()
    ]

    assert found == documented()


def test_every_file_that_a_level_adds_is_in_the_table(desk: Desk):
    files = [
        {
            str(path.relative_to(rendering.module)).replace(rendering.package.name, "PACKAGE")
            for path in rendering.module.rglob("*")
            if path.is_file()
        }
        for rendering in rendered_levels(desk)
    ]
    named = {path for path, text, _ in documented() if text is None}
    explained_by_others = {"src/PACKAGE/ownership.py", "tests/test_sensors.py"}

    assert files[1] - files[0] <= named
    assert files[2] - files[1] <= named | explained_by_others
    assert files[0] < files[1] < files[2]


@pytest.mark.parametrize("starter", ["sample", "empty"])
def test_the_schedule_has_a_timezone_and_is_stopped(desk: Desk, starter: str):
    text = (desk.rendered(starter=starter).package / "schedules.py").read_text("utf-8")

    assert 'execution_timezone="UTC"' in text
    assert "DefaultScheduleStatus.STOPPED" in text

"""System requirements: one table, and what each row adds."""

from __future__ import annotations

import json
import sys

import pytest

from tests.template.rendering import LOCK, TEMPLATE, Desk, checkout

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TABLE = json.loads((TEMPLATE / "requirements.json").read_text())


def dependencies(text: str) -> list[str]:
    return tomllib.loads(text)["project"]["dependencies"]


@pytest.mark.parametrize("name", TABLE)
def test_a_requirement_adds_its_packages_and_no_others(desk: Desk, name: str):
    plain = desk.rendered("plain")
    rendering = desk.rendered("with-it", **{f"requires_{name}": "yes"})

    added = set(dependencies(rendering.text("pyproject.toml"))) - set(dependencies(plain.text("pyproject.toml")))
    snippet = rendering.text("workspace/local/dockerfile.snippet")
    assert added == set(TABLE[name].get("python", {}))
    for package in TABLE[name].get("apt", {}):
        assert f"--no-install-recommends {package} " in snippet
    assert ("apt-get" in snippet) is bool(TABLE[name].get("apt"))
    assert TABLE[name]["question"] in rendering.text("README.md")


def test_the_lock_covers_every_python_package():
    locked = {line.split("==")[0] for line in LOCK.read_text().splitlines()}

    assert {package for row in TABLE.values() for package in row.get("python", {})} <= locked


@pytest.mark.parametrize(
    ("chosen", "warned"),
    [
        (["office"], ["about 355 MB", "python-docx and openpyxl", "conversion service"]),
        (["imagemagick", "pdf"], ["about 123 MB", "Pillow"]),
        (["ffmpeg", "video"], ["about 472 MB", "outside the container"]),
        (["imagemagick"], []),
        (["pdf", "curl", "ssh"], []),
    ],
)
def test_more_than_a_hundred_megabytes_are_told_and_the_generation_goes_on(
    desk: Desk, chosen: list[str], warned: list[str]
):
    said = desk.rendered(**{f"requires_{name}": "yes" for name in chosen}).stderr

    assert ("The image grows" in said) is bool(warned)
    for words in warned:
        assert words in said


def test_what_the_machine_has_of_them_is_reported(desk: Desk):
    tools = desk.root / "tools"
    tools.mkdir()
    (tools / "pdftotext").write_text("#!/bin/sh\n")
    (tools / "pdftotext").chmod(0o755)
    path = f"{tools}:{desk.environment()['PATH']}"

    rendering = desk.render(environment={"PATH": path}, requires_pdf="yes")

    assert "Found: pdftotext\n" in rendering.stderr


def test_a_row_is_all_that_a_new_requirement_needs(desk: Desk):
    template = checkout(desk.root / "clone")
    table = template / "requirements.json"
    row = {"question": "Graphs", "apt": {"graphviz": 12}, "python": {"pillow": 20}, "programs": ["dot"]}
    table.write_text(json.dumps({**TABLE, "graphs": row}))

    rendering = Desk(desk.root, template).rendered(requires_graphs="yes")

    assert "graphviz" in rendering.text("workspace/local/dockerfile.snippet")
    assert "pillow" in dependencies(rendering.text("pyproject.toml"))
    assert "| Graphs | `graphviz` (+12 MB), `pillow` (+20 MB) |" in rendering.text("README.md")
    assert "Not found: dot (" in rendering.stderr

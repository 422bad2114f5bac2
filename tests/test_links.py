"""The pages of this repository lead to each other, and everything that names one of them names one that exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.documents import read

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"


def files() -> list[Path]:
    """Return the repository's files, committed or not."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for name in names if name and (path := REPOSITORY / name).is_file()]


def pages() -> list[Path]:
    return [path for path in files() if path.suffix == ".md"]


def leads_somewhere(page: Path, link: str) -> bool:
    """Tell whether a link of a page leads to a file, and to a heading of it where it names one."""
    name, _, heading = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.is_relative_to(REPOSITORY.resolve()) or not target.exists():
        return False
    return not heading or heading in read(target).anchors()


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    linked = [(page, link) for page in pages() for link in read(page).links()]
    assert len(linked) > 100
    assert [(str(page), link) for page, link in linked if not leads_somewhere(page, link)] == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    page = DOCS / "index.md"
    assert leads_somewhere(page, "explanation/merging.md#the-steps")
    assert leads_somewhere(page, "#how-to")
    for wrong in ("merging.md", "explanation/merging.md#no-such-heading", "#no-such-heading", "../../outside.md"):
        assert not leads_somewhere(page, wrong), wrong


def test_the_map_leads_to_every_page() -> None:
    named = (link.partition("#")[0] for link in read(DOCS / "index.md").links())
    mapped = {path for name in named if name and (path := (DOCS / name).resolve()).is_relative_to(DOCS.resolve())}
    assert mapped == {page.resolve() for page in DOCS.rglob("*.md")} - {(DOCS / "index.md").resolve()}


def test_every_page_that_code_and_templates_name_exists() -> None:
    named = set()
    for path in files():
        if not path.is_relative_to(REPOSITORY / "tests") and path.suffix not in {".png", ".zip"}:
            text = path.read_text("utf-8", "replace")
            named |= {(path.name, name) for name in re.findall(r"(?<![\w./])docs/[\w/-]+\.md", text)}
    assert len(named) > 10
    assert sorted((where, name) for where, name in named if not (REPOSITORY / name).is_file()) == []

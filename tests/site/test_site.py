"""The documentation site: whole, without a request to any other server, and true to the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from docs_site import __main__ as builder
from docs_site.repository_pages import BrokenLinkError, led, places
from tests import needs
from tests.site.built_site import Page, Site

pytestmark = pytest.mark.xdist_group("site")


def another_origin(address: str) -> bool:
    return bool(urlsplit(address).netloc) or urlsplit(address).scheme in {"http", "https", "ftp"}


def test_every_page_of_the_repository_is_on_the_site(documentation: Site) -> None:
    made = {path.relative_to(documentation.folder).as_posix() for path in documentation.pages}
    own = {place.replace(".md", ".html") for place in places().values() if place.endswith(".md")}
    assert len(own) > 40
    assert own - made == set()


def test_every_link_leads_to_a_page_and_a_heading(documentation: Site) -> None:
    # The page for what is missing is shown at any address, and begins its links at the root.
    pages = {path: page for path, page in documentation.pages.items() if path.name != "404.html"}
    links = [(path, link) for path, page in pages.items() for link in page.links]
    assert len(links) > 3000
    assert [(path.name, link) for path, link in links if not documentation.leads_somewhere(path, link)] == []


def test_a_link_that_leads_nowhere_is_found(documentation: Site) -> None:
    page = documentation.folder / "index.html"
    assert documentation.leads_somewhere(page, "explanation/merging.html#the-steps")
    for wrong in ("explanation/merging.html#no-such-heading", "merging.html", "#no-such-heading"):
        assert not documentation.leads_somewhere(page, wrong), wrong


def test_no_page_asks_another_server_for_anything(documentation: Site) -> None:
    fetched = [(path.name, address) for path, page in documentation.pages.items() for address in page.fetched]
    assert len(fetched) > 100
    assert [(name, address) for name, address in fetched if another_origin(address)] == []


def test_no_stylesheet_asks_another_server_for_anything(documentation: Site) -> None:
    sheets = list(documentation.folder.rglob("*.css"))
    assert sheets
    named = [
        (sheet.name, one) for sheet in sheets for one in re.findall(r"url\(['\"]?([^'\")]+)|@import", _text(sheet))
    ]
    assert [(name, one) for name, one in named if another_origin(one)] == []


def test_what_a_page_fetches_from_elsewhere_is_seen() -> None:
    page = Page('<script src="https://example.org/a.js"></script><a href="https://example.org">x</a>')
    assert [another_origin(one) for one in page.fetched] == [True]


def _text(path: Path) -> str:
    return path.read_text("utf-8")


def test_a_page_with_a_broken_link_is_not_built(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    needs.module("mkdocs")
    (tmp_path / "site-sources").mkdir()
    (page := tmp_path / "site-sources/index.md").write_text("# Home\n")
    assert builder.built(tmp_path, {"nav": ["index.md"]}) == 0
    page.write_text("# Home\n\n[a](no-page.md) [b](index.md#no-heading) ![c](no-picture.png) [d](#none)\n")
    assert builder.built(tmp_path, {"nav": ["index.md", "no-file.md"]}) != 0
    said = capfd.readouterr().err
    for wrong in ("no-page.md", "#no-heading", "no-picture.png", "#none", "no-file.md"):
        assert wrong in said


def test_a_link_out_of_the_documentation_is_led_to_where_its_page_went() -> None:
    known = places()
    assert led("[S](../../SECURITY.md#who)", "docs/how-to/audit-modules.md", known) == "[S](../project/security.md#who)"
    assert led("`[S](x)` and\n```\n[S](x)\n```\n", "docs/index.md", known) == "`[S](x)` and\n```\n[S](x)\n```\n"
    with pytest.raises(BrokenLinkError, match="no-such"):
        led("[S](../no-such.md)", "docs/index.md", known)


def test_the_site_links_to_what_the_project_names_and_to_nothing_else() -> None:
    table = {"name": "n", "description": "d"}
    assert builder.of_project(table) == {"site_name": "n", "site_description": "d"}
    named = builder.of_project({**table, "urls": {"Source": "https://example.org/r"}})
    assert named["extra"]["social"][0]["link"] == "https://example.org/r"
    # Material asks the servers of repositories for stars.
    assert "repo_url" not in named


def test_the_search_knows_every_page(documentation: Site) -> None:
    index = json.loads(_text(documentation.folder / "search/search_index.json"))
    known = {one["location"].partition("#")[0] for one in index["docs"]}
    made = {path.relative_to(documentation.folder).as_posix() for path in documentation.pages}
    assert made - known == {"404.html"}

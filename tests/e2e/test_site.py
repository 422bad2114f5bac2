"""The documentation site in a browser: over HTTP and as files, in both colours, at the width of a desk and of a phone.

The screenshots are kept in ``artifacts/``.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tests.site import built_site

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("the site in a browser")]

WAIT_MS = 20_000
WINDOWS = {"desk": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
PAGES = ("index", "tutorial/first-module", "reference/flags", "reference/messages", "explanation/merging")


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the built site."""
    needs.module("mkdocs")
    made = tmp_path_factory.mktemp("site")
    assert built_site.build(made).returncode == 0
    return made / "site"


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Give the address at which the site is served."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@dataclass
class Visit:
    """A visit of the site, and what went wrong meanwhile."""

    page: Any
    home: str
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(WAIT_MS)
        self.page.on(
            "console", lambda said: self.wrong.append(said.text) if said.type in {"error", "warning"} else None
        )
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(f"{request.url}: {request.failure}"))
        self.page.on("request", self._requested)

    def _requested(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:", "blob:", "about:")):
            self.wrong.append(f"{request.url} is not of the site")

    def open(self, name: str) -> None:
        self.page.goto(f"{self.home}/{name}.html", wait_until="load")


@pytest.fixture(params=["http", "file"])
def visit(browser: Any, address: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Give a visit of the site: served, and opened as files without a server."""
    page = browser.new_page(viewport=WINDOWS["desk"])
    yield Visit(page, address if request.param == "http" else folder.as_uri())
    page.close()


def test_the_search_finds_a_page_and_leads_there(visit: Visit) -> None:
    visit.open("index")
    visit.page.keyboard.press("/")
    visit.page.get_by_role("textbox", name="Search").press_sequentially("dump")
    found = visit.page.locator(".md-search-result__link", has_text="Remove a module")
    found.first.click()
    visit.page.wait_for_url("**/how-to/remove-a-module.html*")
    assert visit.wrong == []


def test_a_pasted_message_is_found_with_its_cure(visit: Visit) -> None:
    visit.open("reference/messages")
    rows = visit.page.locator(".messages tbody tr:visible")
    assert rows.count() > 300
    visit.page.get_by_label("Paste or type a message").fill("Error: No workspace at /home/ada/work. Create one with")
    assert 0 < rows.count() < 10
    assert rows.filter(has_text="No workspace at").filter(has_text="workspace.init").count() == 1
    visit.page.get_by_label("Paste or type a message").fill("no such message at all")
    assert rows.count() == 0
    assert visit.wrong == []


def test_only_what_is_typed_is_copied(browser: Any, address: str) -> None:
    context = browser.new_context(viewport=WINDOWS["desk"], permissions=["clipboard-read", "clipboard-write"])
    visit = Visit(context.new_page(), address)
    visit.open("index")
    visit.page.locator(".highlight", has_text="workspace.init").locator("button").first.click()
    visit.page.get_by_text("Copied to clipboard").wait_for()
    copied = visit.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("dagster-module-builder workspace.init")
    assert "$ " not in copied
    context.close()


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_pages_fit_the_window_without_an_error(
    browser: Any, address: str, artifacts: Path, window: str, colours: str
) -> None:
    page = browser.new_page(viewport=WINDOWS[window], color_scheme=colours)
    visit = Visit(page, address)
    for name in PAGES:
        visit.open(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= WINDOWS[window]["width"], name
        page.screenshot(path=artifacts / f"site-{name.rpartition('/')[2]}-{window}-{colours}.png")
    page.close()
    assert visit.wrong == []

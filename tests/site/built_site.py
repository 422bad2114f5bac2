"""The documentation site as it is built, read as a browser reads it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPOSITORY = Path(__file__).parents[2]
#: What a browser fetches of an element without being told to; a link of a page is followed by a person.
FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src",
    "link": "href", "object": "data", "form": "action",
}  # fmt: skip


#: What a browser does with the page that a link element of these kinds names: nothing.
ONLY_NAMED = {"canonical", "next", "prev", "alternate"}


class Page(HTMLParser):
    """What a page refers to, and the names in it that a link may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.names |= {values[name] for name in ("id", "name") if name in values}
        if tag in FETCHED and FETCHED[tag] in values and values.get("rel") not in ONLY_NAMED:
            self.fetched.append(values[FETCHED[tag]])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])


@dataclass(frozen=True)
class Site:
    """A folder of pages."""

    folder: Path
    pages: dict[Path, Page] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in sorted(self.folder.rglob("*.html")):
            self.pages[path] = Page(path.read_text("utf-8"))

    def leads_somewhere(self, page: Path, link: str) -> bool:
        """Tell whether a link of a page leads to a file of the site, and to a name in it."""
        address = urlsplit(link)
        if address.scheme or address.netloc:
            return True
        target = (page.parent / unquote(address.path)).resolve() if address.path else page
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            return False
        return not address.fragment or address.fragment in {"__skip"} | self.pages[target].names


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in a folder."""
    command = [sys.executable, "-m", "docs_site", str(folder)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

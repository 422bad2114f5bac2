"""The repository's own pages, as they lie on the site: links that leave ``docs/`` are led to where the pages went."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: Pages outside of docs/, where hosting sites and people look for them, and their places on the site.
AT_THE_ROOT = {
    "SECURITY.md": "project/security.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CHANGELOG.md": "project/changelog.md",
    "examples/README.md": "tutorial/examples.md",
}
#: What a page of the root has no page for on the site, and what leads there instead.
INSTEAD = {"README.md": "index.md"}

#: What MkDocs is told of a page beside its text. The start page has the whole map in its text.
SETTINGS = {"index.md": "---\nhide: [navigation]\n---\n"}

#: Code, in which nothing is a link; or a link, with its target and the heading in it.
_LINK = re.compile(
    r"(?P<code>^ *```.*?^ *```$|`[^`\n]+`)|(?P<text>!?\[[^\]]*\])\((?P<target>[^)\s#]*)(?P<heading>#[^)\s]*)?\)",
    re.MULTILINE | re.DOTALL,
)


class BrokenLinkError(Exception):
    """A page leads to a file that is not on the site."""


def places() -> dict[str, str]:
    """Return where each page and picture of the repository is on the site, by its path in the repository."""
    files = sorted(path for path in DOCS.rglob("*") if path.suffix in {".md", ".png", ".svg", ".gif"})
    own = {path.relative_to(ROOT).as_posix(): path.relative_to(DOCS).as_posix() for path in files}
    return {**own, **AT_THE_ROOT, **{name: place for name, place in INSTEAD.items() if name not in own}}


def pages() -> Iterator[tuple[str, bytes]]:
    """Yield each file of the site that the repository has, with its place there.

    Raises:
        BrokenLinkError: A link leads nowhere on the site.
    """
    known = places()
    for name, place in known.items():
        if name in INSTEAD:
            continue
        content = (ROOT / name).read_bytes()
        if name.endswith(".md"):
            content = f"{SETTINGS.get(place, '')}{led(content.decode(), name, known)}".encode()
        yield place, content


def led(text: str, name: str, known: Mapping[str, str]) -> str:
    """Return a page with its links as they have to be on the site.

    Args:
        text: The page.
        name: Its path in the repository.
        known: Where the pages are on the site.

    >>> led("[S](../SECURITY.md#who)", "docs/index.md", {"docs/index.md": "index.md", **AT_THE_ROOT})
    '[S](project/security.md#who)'
    """

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if match["code"] or not target or ":" in target:
            return match[0]
        wanted = os.path.normpath(PurePosixPath(name).parent / target)
        if wanted not in known:
            raise BrokenLinkError(f"{name}: {target} is not on the site.")
        way = os.path.relpath(known[wanted], PurePosixPath(known[name]).parent)
        return f"{match['text']}({way}{match['heading'] or ''})"

    return _LINK.sub(link, text)

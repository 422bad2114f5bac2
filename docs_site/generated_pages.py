"""The pages that are made from the code when the site is built."""

from __future__ import annotations

from collections.abc import Iterator

from docs_site import json_page, message_page, question_pages, task_pages


def generated() -> Iterator[tuple[str, bytes]]:
    """Yield each page with its place on the site."""
    for module in (task_pages, question_pages, message_page, json_page):
        yield module.PAGE, module.page().encode()
    yield from json_page.files()

"""What a browser makes of the drawing: with its fonts, every text stays within its box."""

from __future__ import annotations

from typing import Any

import pytest

from dagster_module_builder.overview.graph import Edge, Graph, Node
from dagster_module_builder.overview.svg import svg
from tests.overview.graphs import sample

pytestmark = [pytest.mark.slow]

#: Every text with the box that it is in, or the page, and how far it reaches beyond it.
OUTSIDE = """
() => [...document.querySelectorAll('text')].filter(text => {
    const box = text.closest('g')?.querySelector('.box') ?? document.querySelector('.page');
    const [inner, outer] = [text.getBoundingClientRect(), box.getBoundingClientRect()];
    return inner.left < outer.left || inner.right > outer.right || inner.top < outer.top || inner.bottom > outer.bottom;
}).map(text => text.textContent)
"""
MODULE, DEPLOYMENT = (
    Node("module:m", "module", "m" * 40),
    Node("deployment:d", "deployment", "w" * 40, "a-companys-own-strategy"),
)
HOST = Node("host:h", "host", "W" * 80 + ".M" * 20)
WIDE = Graph(
    f"Workspace {'W' * 80}",
    (MODULE, DEPLOYMENT, HOST),
    (Edge(MODULE.id, DEPLOYMENT.id), Edge(DEPLOYMENT.id, HOST.id)),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("graph", [sample(0), sample(1), sample(60), WIDE], ids=["none", "1", "60", "wide"])
def test_no_text_leaves_its_box(browser: Any, graph: Graph, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme)
    page.set_content(f"<!doctype html><body>{svg(graph)}")
    assert page.evaluate(OUTSIDE) == []
    shown = page.evaluate("() => getComputedStyle(document.querySelector('.page')).fill")
    assert shown == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    page.close()

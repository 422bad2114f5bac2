"""The drawing of a workspace: nothing overlaps, no edge crosses a box, and it is one well-formed file."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import pytest

from dagster_module_builder.overview.drawing_layout import BOX_HEIGHT, Box, Drawing, Point, laid_out, shortened
from dagster_module_builder.overview.graph import Edge, Graph, Node
from dagster_module_builder.overview.svg import svg
from tests.overview.graphs import documented, sample
from tests.overview.picture import PICTURE

LONG = "-of-a-department-with-a-name"
GRAPHS = [sample(1), sample(12), sample(60), sample(12, LONG), sample(0)]
IDS = ["1", "12", "60", "long names", "none"]
SVG = "{http://www.w3.org/2000/svg}"

drawings = pytest.mark.parametrize("graph", GRAPHS, ids=IDS)


def parts(drawing: Drawing) -> Iterator[tuple[Point, Point]]:
    """Yield the straight parts of all lines, before their corners are rounded."""
    for line in drawing.lines:
        yield from itertools.pairwise(line.points)


def crosses(start: Point, end: Point, box: Box) -> bool:
    """Tell whether a part of a line runs through the inside of a box."""
    (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    return left < box.right and right > box.x and top < box.y + BOX_HEIGHT and bottom > box.y


@drawings
def test_no_box_overlaps_another_or_leaves_the_page(graph: Graph) -> None:
    drawing = laid_out(graph)
    assert len(drawing.boxes) == len(graph.nodes)
    for box in drawing.boxes:
        assert 0 < box.x < box.right < drawing.width
        assert 0 < box.y < box.y + BOX_HEIGHT < drawing.height
    for box, other in itertools.combinations(drawing.boxes, 2):
        assert box.right < other.x or other.right < box.x or abs(box.y - other.y) > BOX_HEIGHT, (box, other)


@drawings
def test_edges_run_at_right_angles_and_through_no_box(graph: Graph) -> None:
    drawing = laid_out(graph)
    assert len(drawing.lines) == len(graph.edges)
    for start, end in parts(drawing):
        assert (start[0] == end[0]) != (start[1] == end[1]), (start, end)
        assert [box for box in drawing.boxes if crosses(start, end, box)] == []


@drawings
def test_edges_begin_and_end_at_their_nodes(graph: Graph) -> None:
    drawing = laid_out(graph)
    boxes = {box.node.id: box for box in drawing.boxes}
    for edge, line in zip(graph.edges, drawing.lines, strict=True):
        start, end = boxes[edge.source], boxes[edge.target]
        assert line.points[0][0] == start.right
        assert start.y < line.points[0][1] < start.y + BOX_HEIGHT
        assert line.points[-1][0] == end.x
        assert end.y < line.points[-1][1] < end.y + BOX_HEIGHT


@drawings
def test_lines_to_different_hosts_never_run_upon_each_other(graph: Graph) -> None:
    drawing = laid_out(graph)
    vertical: dict[float, list[tuple[float, float, str]]] = {}
    for edge, line in zip(graph.edges, drawing.lines, strict=True):
        if edge.target.startswith("host:"):
            for (x, top), (other_x, bottom) in itertools.pairwise(line.points):
                if x == other_x:
                    vertical.setdefault(x, []).append((min(top, bottom), max(top, bottom), edge.target))
    for spans in vertical.values():
        for (top, bottom, host), (other_top, other_bottom, other) in itertools.combinations(spans, 2):
            assert host == other or bottom < other_top or other_bottom < top


@drawings
def test_the_same_graph_gives_the_same_bytes(graph: Graph) -> None:
    assert svg(graph) == svg(Graph(graph.title, graph.nodes, graph.edges))


@drawings
def test_a_drawing_needs_nothing_else_and_runs_nothing(graph: Graph) -> None:
    text = svg(graph)
    root = ET.fromstring(text)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        "svg", "title", "desc", "style", "rect", "path", "text", "g",
    }  # fmt: skip
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in attributes if name.startswith("on") or "href" in name]
    assert re.findall(r"https?://[^\"]*|url\(|@import", text) == ["http://www.w3.org/2000/svg"]


def test_a_drawing_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    root = ET.fromstring(svg(sample(12)))
    names = {element.get("id"): element.text or "" for element in root}
    assert root.get("role") == "img"
    title, described = (names[name] for name in (root.get("aria-labelledby") or "").split())
    assert title == "Workspace sample"
    assert (
        "sales-report-0: integrated; database sales_report_0_db (postgresql, port 5440); runs in Dagster" in described
    )
    assert "web-shop-9: folder missing" in described
    assert "deployment yoda (rsync) to host-0.client.example." in described


def test_a_drawing_is_for_light_and_dark_pages() -> None:
    light, dark = (dict(re.findall(r"--(\w+): (#\w+);", part)) for part in svg(sample(1)).split("@media"))
    assert "prefers-color-scheme: dark" in svg(sample(1))
    assert light.keys() == dark.keys()
    for colours in (light, dark):
        for text in ("text", "muted", "bad"):
            assert contrast(colours[text], colours["box"]) >= 4.5, text
            assert contrast(colours[text], colours["page"]) >= 4.5, text
        for mark in ("line", "border", "database", "module", "server", "deployment", "host"):
            assert contrast(colours[mark], colours["page"]) >= 3, mark


def contrast(colour: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 has it (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    darker, lighter = sorted((luminance(colour), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    parts_of_one = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts_of_one]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_names_are_escaped_and_long_ones_are_shortened() -> None:
    host = Node("host:h", "host", f'"><script>&{"x" * 80}.example:22')
    deployment = Node("deployment:d", "deployment", "d\uffff", "<b>")
    module = Node("module:m", "module", "m")
    edges = (Edge(module.id, deployment.id), Edge(deployment.id, host.id))
    graph = Graph("<i>&amp;", (module, deployment, host), edges)
    root = ET.fromstring(svg(graph))
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    assert "<i>&amp;" in texts
    assert "<b>" in texts
    assert shortened(host.name) in texts
    assert f"{host.name}" in [element.text for element in root.iter(f"{SVG}title")]
    assert shortened(host.name).startswith('"><script>&xxx')
    assert shortened(host.name).endswith("xxx.example:22")
    assert len(shortened(host.name)) < len(host.name)


def test_the_picture_in_the_documentation_is_what_is_drawn() -> None:
    """Where this fails, look at the new drawing, and write it there: ``python -m tests.overview.picture``."""
    assert PICTURE.read_text("utf-8") == svg(documented())

"""Where each node of a drawing is, and how its edges run: pure geometry, in pixels.

Columns of boxes stand side by side, on a grid of rows. Each module begins a band of rows, one for each of its
deployments. Edges run to the right, at right angles: what several lead to, a server or a host, is reached over one
vertical line, and edges that pass the column of servers run between its rows, so that no edge crosses a box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from dagster_module_builder.overview.graph import KINDS, Graph, Node

MARGIN = 32
#: Above the boxes: the title, the summary, and the headings of the columns.
HEAD = 128
BOX_HEIGHT = 44
ROW = 60
GAP = 64
PADDING = 16
#: The widths of a sign: of a fixed-width font in the size of names, of the widest usual sans-serif in that of details.
NAME_SIGN, DETAIL_SIGN = 7.9, 6.8
#: Longer names are shortened in the middle; no module's name is longer.
MOST_SIGNS = 60
NARROWEST = 120
#: How far below a box's top edges leave and enter: two of different edges at the same side never meet.
UPPER, CENTRE, LOWER = 14, 22, 30
#: How far from a column an edge turns: before passing servers, to a server, before a deployment.
TURN, TRUNK, LAST_TURN = 14, 30, 24
#: The distance of two vertical lines to hosts, and of the outer ones from the columns beside them.
TRACK, TRACK_MARGIN = 10, 24

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A node's rectangle, which is ``BOX_HEIGHT`` high."""

    node: Node
    x: float
    y: float
    width: float

    @property
    def right(self) -> float:
        """Its right side."""
        return self.x + self.width


@dataclass(frozen=True)
class Line:
    """An edge: it turns at right angles at these points."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Drawing:
    """Everything that is drawn, and the size of it all."""

    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    headings: tuple[tuple[str, float], ...]
    width: float
    height: float


def shortened(name: str) -> str:
    """Return a name of at most ``MOST_SIGNS`` signs, with ``…`` in its middle if it is longer."""
    if len(name) <= MOST_SIGNS:
        return name
    half = MOST_SIGNS // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def laid_out(graph: Graph, least_width: float = 0) -> Drawing:
    """Lay out a graph.

    Args:
        graph: The graph.
        least_width: What the text above the columns needs.
    """
    rows = _rows(graph)
    tracks = _tracks(graph, rows)
    columns = _columns(graph, max(tracks.values(), default=-1) + 1)
    boxes = {
        node.id: Box(node, columns[node.kind][0], HEAD + rows[node.id] * ROW, columns[node.kind][1])
        for node in graph.nodes
    }
    headings = tuple((KINDS[kind], x) for kind, (x, _) in columns.items())
    right = max((x + width for x, width in columns.values()), default=MARGIN)
    bottom = max((box.y + BOX_HEIGHT for box in boxes.values()), default=HEAD - ROW)
    return Drawing(
        tuple(boxes.values()),
        tuple(_lines(graph, boxes, tracks)),
        headings,
        max(right, MARGIN + least_width) + MARGIN,
        bottom + MARGIN,
    )


def _columns(graph: Graph, tracks: int) -> dict[str, tuple[float, float]]:
    """Return the left side and the width of each column that has nodes.

    Args:
        graph: The graph.
        tracks: How many vertical lines there are side by side before the hosts.
    """
    columns: dict[str, tuple[float, float]] = {}
    left = float(MARGIN)
    for kind in KINDS:
        if nodes := graph.of_kind(kind):
            width = max(NARROWEST, *(_width(node) for node in nodes))
            if kind == "host":
                left += max(0, 2 * TRACK_MARGIN + (tracks - 1) * TRACK - GAP)
            columns[kind] = (left, width)
            left += width + GAP
    return columns


def _width(node: Node) -> float:
    detail = " · ".join(node.details)
    return round(max(len(shortened(node.name)) * NAME_SIGN, len(detail) * DETAIL_SIGN) + 2 * PADDING)


def _rows(graph: Graph) -> dict[str, int]:
    """Return the row of each node."""
    rows: dict[str, int] = {}
    next_row = 0
    for module in graph.of_kind("module"):
        deployments = graph.targets(module, "deployment")
        rows[module.id] = next_row
        rows |= {deployment.id: next_row + place for place, deployment in enumerate(deployments)}
        next_row += max(1, len(deployments))
    for edge in graph.edges:
        if edge.source.startswith("database:"):
            rows[edge.source] = rows[edge.target]
    return rows | _shared(graph, "server", rows) | _shared(graph, "host", rows)


def _shared(graph: Graph, kind: str, rows: Mapping[str, int]) -> dict[str, int]:
    """Return the rows of nodes that several may lead to: beside the first of these, or below where that is taken."""
    first: dict[str, int] = {}
    leading: dict[str, int] = {}
    for edge in graph.edges:
        if edge.target.startswith(f"{kind}:"):
            first[edge.target] = min(first.get(edge.target, rows[edge.source]), rows[edge.source])
            leading[edge.target] = leading.get(edge.target, 0) + 1
    taken: dict[str, int] = {}
    # What only one leads to stays beside it; what is shared can be further away.
    for node in sorted(first, key=lambda node: (leading[node] > 1 and kind == "server", first[node])):
        taken[node] = next(row for row in count(first[node]) if row not in taken.values())
    return taken


def _tracks(graph: Graph, rows: Mapping[str, int]) -> dict[str, int]:
    """Return on which of the vertical lines before the hosts each host is reached, if it is not only straight on.

    Hosts share a line where the rows that they are reached from are apart.
    """
    spans: dict[str, tuple[int, int]] = {}
    for edge in graph.edges:
        if edge.target.startswith("host:"):
            start, end = rows[edge.source], rows[edge.target]
            first, last = spans.get(edge.target, (end, end))
            spans[edge.target] = (min(first, start), max(last, start))
    ends: list[int] = []
    tracks: dict[str, int] = {}
    for host, (first, last) in sorted(spans.items(), key=lambda item: (item[1], item[0])):
        if first < last:
            free = next((track for track, end in enumerate(ends) if end < first), len(ends))
            ends[free : free + 1] = [last]
            tracks[host] = free
    return tracks


def _lines(graph: Graph, boxes: Mapping[str, Box], tracks: Mapping[str, int]) -> Iterator[Line]:
    servers = {box.y for box in boxes.values() if box.node.kind == "server"}
    for edge in graph.edges:
        start, end = boxes[edge.source], boxes[edge.target]
        if end.node.kind == "server":
            yield _turned(start, end, start.right + TRUNK, UPPER, UPPER)
        elif end.node.kind == "deployment":
            yield _to_deployment(start, end, passes=start.y in servers)
        elif start.y == end.y:
            yield _turned(start, end, end.x, CENTRE, CENTRE)
        else:
            track = end.x - TRACK_MARGIN - TRACK * tracks.get(edge.target, 0)
            yield _turned(start, end, track, UPPER, LOWER)


def _turned(start: Box, end: Box, vertical: float, leaves: int, enters: int) -> Line:
    """Return a line that runs up or down at one place only."""
    first, last = start.y + leaves, end.y + enters
    return _bent((start.right, first), (vertical, first), (vertical, last), (end.x, last))


def _to_deployment(module: Box, deployment: Box, *, passes: bool) -> Line:
    """Return a line to a deployment; it ``passes`` below a server that is in the module's row."""
    start, end, last = module.y + LOWER, deployment.y + LOWER, deployment.x - LAST_TURN
    if not passes:
        return _turned(module, deployment, last, LOWER, LOWER)
    below, turn = module.y + (BOX_HEIGHT + ROW) / 2, module.right + TURN
    return _bent((module.right, start), (turn, start), (turn, below), (last, below), (last, end), (deployment.x, end))


def _bent(*points: Point) -> Line:
    """Return a line without the points at which it does not turn."""
    kept = [
        point
        for before, point, after in zip(points, points[1:], points[2:], strict=False)
        if not (before[1] == point[1] == after[1] or point in {before, after})
    ]
    return Line((points[0], *kept, points[-1]))

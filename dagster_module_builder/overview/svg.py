"""The graph as an SVG drawing: one file without scripts, fonts or links, for light and dark pages.

The same graph gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from dagster_module_builder.overview.drawing_layout import (
    BOX_HEIGHT,
    DETAIL_SIGN,
    HEAD,
    MARGIN,
    PADDING,
    Box,
    Drawing,
    Line,
    Point,
    laid_out,
    shortened,
)
from dagster_module_builder.overview.graph import KINDS, Graph, Node

#: How round the corners of lines are.
_RADIUS = 8.0
#: The widest sign of the title, and a usual one of the line below it.
_TITLE_SIGN, _SUMMARY_SIGN = 22, DETAIL_SIGN * 12 / 11

# Contrasts of text are at least 4.5 to 1 on both backgrounds (WCAG 2.2, 1.4.3), those of lines and bars 3 to 1.
_STYLE = """\
  svg { --page: #ffffff; --box: #f6f8fa; --border: #868e96; --line: #868e96; --text: #1f2328; --muted: #59636e;
    --bad: #cf222e; --database: #0969da; --module: #8250df; --server: #1a7f37; --deployment: #bc4c00; --host: #59636e; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --box: #161b22; --border: #6e7681; --line: #6e7681; --text: #f0f6fc; --muted: #9198a1;
      --bad: #f85149; --database: #4493f8; --module: #ab7df8; --server: #3fb950; --deployment: #db6d28; --host: #9198a1;
    }
  }
  text { fill: var(--muted); font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans",
    sans-serif; }
  .page { fill: var(--page); }
  .title { font-size: 20px; font-weight: 600; fill: var(--text); }
  .summary { font-size: 12px; }
  .heading { font-size: 12px; font-weight: 600; }
  .name { fill: var(--text); font-size: 13px; font-family: ui-monospace, SFMono-Regular, Menlo, Consolas,
    "DejaVu Sans Mono", monospace; }
  .detail { font-size: 11px; }
  .box { fill: var(--box); stroke: var(--border); }
  .line { fill: none; stroke: var(--line); stroke-width: 1.25; }
  .pending .box { stroke-dasharray: 5 4; }
  .pending .name { fill: var(--muted); }
  .bad .box { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 3 3; }
  .bad .detail { fill: var(--bad); }
"""
_STYLE += "".join(f"  .{kind} .bar {{ fill: var(--{kind}); }}\n" for kind in KINDS)
_STATES = {"not integrated": " pending", "folder missing": " bad", "unreadable": " bad"}


def svg(graph: Graph) -> str:
    """Return a graph as a drawing, ending with a line feed."""
    title = shortened(graph.title)
    summary = graph.summary or "There are no modules yet."
    drawing = laid_out(graph, round(max(len(summary) * _SUMMARY_SIGN, len(title) * _TITLE_SIGN)))
    size = f'width="{drawing.width:g}" height="{drawing.height:g}" viewBox="0 0 {drawing.width:g} {drawing.height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="graph-title graph-desc">',
            f'<title id="graph-title">{_text(graph.title)}</title>',
            f'<desc id="graph-desc">{_text(described(graph))}</desc>',
            f"<style>\n{_STYLE}</style>",
            '<rect class="page" width="100%" height="100%"/>',
            f'<text class="title" x="{MARGIN}" y="48">{_text(title)}</text>',
            f'<text class="summary" x="{MARGIN}" y="70">{_text(summary)}</text>',
            *_drawn(drawing),
            "</svg>\n",
        ]
    )


def _drawn(drawing: Drawing) -> Iterator[str]:
    for heading, x in drawing.headings:
        yield f'<text class="heading" x="{x:g}" y="{HEAD - 14}">{heading}</text>'
    for line in drawing.lines:
        yield f'<path class="line" d="{_path(line)}"/>'
    for box in drawing.boxes:
        yield from _box(box)


def _box(box: Box) -> Iterator[str]:
    node, x, y = box.node, box.x, box.y
    detail = " · ".join(node.details)
    yield f'<g class="{node.kind}{_STATES.get(node.state, "")}"><title>{_text(_said(node))}</title>'
    yield f'<rect class="box" x="{x:g}" y="{y:g}" width="{box.width:g}" height="{BOX_HEIGHT}" rx="6"/>'
    yield f'<rect class="bar" x="{x:g}" y="{y + 8:g}" width="3" height="{BOX_HEIGHT - 16}" rx="1.5"/>'
    # Without details, the name is in the middle.
    height = 19 if detail else 27
    yield f'<text class="name" x="{x + PADDING:g}" y="{y + height:g}">{_text(shortened(node.name))}</text>'
    if detail:
        yield f'<text class="detail" x="{x + PADDING:g}" y="{y + 35:g}">{_text(detail)}</text>'
    yield "</g>"


def _path(line: Line) -> str:
    points = line.points
    (x, y), (end_x, end_y) = points[0], points[-1]
    corners = (_corner(*three) for three in zip(points, points[1:], points[2:], strict=False))
    return f"M{x:g} {y:g}{''.join(corners)}L{end_x:g} {end_y:g}"


def _corner(before: Point, corner: Point, after: Point) -> str:
    """Return a line to a corner, and a curve around it."""
    start, end = _towards(corner, before), _towards(corner, after)
    return f"L{start[0]:g} {start[1]:g}Q{corner[0]:g} {corner[1]:g} {end[0]:g} {end[1]:g}"


def _towards(corner: Point, other: Point) -> Point:
    """Return the point at which a curve around a corner begins: at most half of the way to the next one."""
    length = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    part = min(_RADIUS, length / 2) / length
    return corner[0] + (other[0] - corner[0]) * part, corner[1] + (other[1] - corner[1]) * part


def described(graph: Graph) -> str:
    """Return what the drawing shows, for those who do not see it: a sentence for each module."""
    return " ".join([f"{graph.summary}.", *(_sentence(graph, module) for module in graph.of_kind("module"))])


def _sentence(graph: Graph, module: Node) -> str:
    sources = {edge.source for edge in graph.edges if edge.target == module.id}
    databases = [f"database {_said(node)}" for node in graph.of_kind("database") if node.id in sources]
    servers = [f"runs in {_said(node)}" for node in graph.targets(module, "server")]
    deployments = [
        f"deployment {_said(node)} to {_listed([host.name for host in graph.targets(node, 'host')])}"
        for node in graph.targets(module, "deployment")
    ]
    return f"{module.name}: {'; '.join(filter(None, [module.state, *databases, *servers, *deployments]))}."


def _said(node: Node) -> str:
    details = ", ".join(node.details)
    return f"{node.name} ({details})" if details else node.name


def _listed(names: list[str]) -> str:
    return " and ".join(names) or "no host"


def _text(text: str) -> str:
    # XML has no signs for these two (https://www.w3.org/TR/xml/#charsets); other control signs were escaped before.
    return escape(text.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"))

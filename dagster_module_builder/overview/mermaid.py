"""The graph as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from dagster_module_builder.overview.graph import KINDS, Graph, Node

#: What stands around a node's text, by its kind: a cylinder, rounded corners, a frame, a stadium, a box.
_SHAPES = {
    "database": ("[(", ")]"),
    "module": ("(", ")"),
    "server": ("[[", "]]"),
    "deployment": ("([", "])"),
    "host": ("[", "]"),
}
#: Dashes and widths, but no colours: themes have their own, light and dark.
_CLASSES = {
    "not integrated": ("notIntegrated", "stroke-dasharray:5 4"),
    "folder missing": ("folderMissing", "stroke-dasharray:2 3,stroke-width:3px"),
    "unreadable": ("unreadable", "stroke-dasharray:2 3,stroke-width:3px"),
}
#: What means nothing to Mermaid within quotes; everything else is written as a number.
_PLAIN = frozenset(" -_./:,()·…")


def mermaid(graph: Graph) -> str:
    """Return a graph as Mermaid's text, ending with a line feed."""
    lines = ["flowchart LR", f"    accTitle: {_line(graph.title)}", f"    accDescr: {_line(graph.summary or 'empty')}"]
    names = {node.id: name for kind in KINDS for name, node in _named(graph, kind)}
    lines += chain.from_iterable(_column(graph, kind) for kind in KINDS if graph.of_kind(kind))
    lines += [f"    {names[edge.source]} --- {names[edge.target]}" for edge in graph.edges]
    for state, (name, style) in _CLASSES.items():
        if members := [names[node.id] for node in graph.nodes if node.state == state]:
            lines += [f"    classDef {name} {style}", f"    class {','.join(members)} {name}"]
    return "\n".join(lines) + "\n"


def markdown(graph: Graph) -> str:
    """Return a page with the graph, as GitHub and GitLab draw it."""
    return f"# {_text(graph.title)}\n\n```mermaid\n{mermaid(graph)}```\n"


def _named(graph: Graph, kind: str) -> Iterator[tuple[str, Node]]:
    # Names of nodes such as 'end' mean something else in Mermaid, so that they get numbers.
    return ((f"{kind}{number}", node) for number, node in enumerate(graph.of_kind(kind), 1))


def _column(graph: Graph, kind: str) -> Iterator[str]:
    yield f'    subgraph {kind}s["{KINDS[kind]}"]'
    for name, node in _named(graph, kind):
        opening, closing = _SHAPES[kind]
        label = "<br/>".join(filter(None, [_text(node.name), _text(" · ".join(node.details))]))
        yield f'        {name}{opening}"{label}"{closing}'
    yield "    end"


def _text(text: str) -> str:
    """Return a text with all that Mermaid or HTML could take for more than text as Mermaid's entities: ``#60;``."""
    return "".join(sign if sign.isalnum() or sign in _PLAIN else f"#{ord(sign)};" for sign in text)


def _line(text: str) -> str:
    """Return a text for a separate line, which takes no entities: what Mermaid could take for more is left out."""
    return "".join(sign if sign.isalnum() or sign in _PLAIN else " " for sign in text).strip()

"""The workspace as a graph: what belongs to which module, and where it goes. A value: it opens no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

#: The kinds of nodes in the order of their columns, with the columns' headings.
KINDS: Mapping[str, str] = {
    "database": "Databases",
    "module": "Modules",
    "server": "Code servers",
    "deployment": "Deployments",
    "host": "Hosts",
}

INTEGRATED = "integrated"


@dataclass(frozen=True)
class Node:
    """One thing of the workspace.

    Attributes:
        id: Its kind and what tells it apart from others of the kind: ``module:projects/sales``.
        kind: One of ``KINDS``.
        name: What people call it.
        type: What it is more exactly: a database's engine, a deployment's strategy; may be empty.
        port: The port at which it answers, if it is known.
        state: Its state in words; empty if nothing is known without asking a host.
    """

    id: str
    kind: str
    name: str
    type: str = ""
    port: int | None = None
    state: str = ""

    @property
    def details(self) -> list[str]:
        """What a picture says of it, beside its name; that a module is integrated is the ordinary case."""
        port = f"port {self.port}" if self.port else ""
        return [text for text in (self.type, port, self.state) if text and text not in {self.name, INTEGRATED}]


@dataclass(frozen=True)
class Edge:
    """A connection, from left to right; both ends are ids of nodes."""

    source: str
    target: str


@dataclass(frozen=True)
class Graph:
    """A workspace's nodes, column by column, and its edges."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def of_kind(self, kind: str) -> list[Node]:
        """Return the nodes of a column, from top to bottom."""
        return [node for node in self.nodes if node.kind == kind]

    def targets(self, node: Node, kind: str) -> list[Node]:
        """Return the nodes of a kind that edges of a node lead to."""
        ends = {edge.target for edge in self.edges if edge.source == node.id}
        return [other for other in self.of_kind(kind) if other.id in ends]

    @property
    def summary(self) -> str:
        """How many nodes of each kind there are: ``2 modules (1 not integrated), 1 database``."""
        kinds = sorted(KINDS, key=lambda kind: kind != "module")
        return ", ".join(filter(None, map(self._counted, kinds)))

    def _counted(self, kind: str) -> str:
        nodes = self.of_kind(kind)
        noun = KINDS[kind].lower().removesuffix("s")
        states = [node.state for node in nodes if node.state and node.state != INTEGRATED]
        counts = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
        said = f" ({', '.join(counts)})" if counts else ""
        return f"{len(nodes)} {noun}{'' if len(nodes) == 1 else 's'}{said}" if nodes else ""

    def with_names(self, shown: Callable[[str], str]) -> Graph:
        """Return the graph with what is shown of its texts, such as without secrets."""
        nodes = (
            replace(node, id=shown(node.id), name=shown(node.name), type=shown(node.type), state=shown(node.state))
            for node in self.nodes
        )
        edges = (Edge(shown(edge.source), shown(edge.target)) for edge in self.edges)
        return Graph(shown(self.title), tuple(nodes), tuple(edges))

    def to_json(self) -> dict[str, Any]:
        """Return it as data."""
        return {
            "title": self.title,
            "nodes": [{key: value or None for key, value in asdict(node).items()} for node in self.nodes],
            "edges": [asdict(edge) for edge in self.edges],
        }

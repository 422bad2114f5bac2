"""Graphs of workspaces of any size."""

from __future__ import annotations

from dagster_module_builder.overview.graph import KINDS, Edge, Graph, Node

NAMES = ("sales-report", "stock", "weather", "billing", "web-shop")
STRATEGIES = ("rsync", "git", "docker", "ci-cd")
SHARED = Node("server:dagster", "server", "Dagster", "shared process", 3000)


class GraphMaker:
    """Collects the nodes and edges of a graph."""

    def __init__(self, title: str = "Workspace sample") -> None:
        self.title = title
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def edge(self, source: Node, target: Node) -> None:
        self.nodes |= {node.id: node for node in (source, target)}
        self.edges.append(Edge(source.id, target.id))

    def graph(self) -> Graph:
        columns = [node for kind in KINDS for node in self.nodes.values() if node.kind == kind]
        return Graph(self.title, tuple(columns), tuple(self.edges))


def sample(modules: int, suffix: str = "") -> Graph:
    """Return the graph of a workspace with every kind of node, state and edge; ``suffix`` makes names longer."""
    maker = GraphMaker()
    for number in range(modules):
        _add_module(maker, number, f"{NAMES[number % 5]}-{number}{suffix}")
    return maker.graph()


def _add_module(maker: GraphMaker, number: int, name: str) -> None:
    state = "folder missing" if number % 11 == 9 else "not integrated" if number % 7 == 5 else "integrated"
    module = Node(f"module:projects/{name}", "module", name, state=state)
    maker.nodes[module.id] = module
    snake = name.replace("-", "_")
    if number % 3 != 2:
        maker.edge(Node(f"database:projects/{name}", "database", f"{snake}_db", "postgresql", 5440 + number), module)
    if state == "integrated":
        own = Node(f"server:{snake}", "server", f"{snake}_code", "own server", 4000)
        maker.edge(module, own if number % 5 == 3 else SHARED)
    for place, deployment in enumerate(("yoda", "leia", "production")[: (1, 0, 2, 1, 3)[number % 5]]):
        _add_deployment(maker, module, deployment, number + place)


def _add_deployment(maker: GraphMaker, module: Node, name: str, number: int) -> None:
    deployment = Node(f"deployment:{module.name}/{name}", "deployment", name, STRATEGIES[number % 4])
    maker.edge(module, deployment)
    for place in range(1 + number % 3):
        host = f"host-{(number * 5 + place) % 9}.client.example"
        maker.edge(deployment, Node(f"host:{host}", "host", host))


def documented() -> Graph:
    """Return the graph of the workspace in the documentation."""
    maker = GraphMaker("Workspace acme")
    for name, engine, port in (("sales-report", "postgresql", 5440), ("stock", "mysql", 5441), ("weather", "", None)):
        module = Node(f"module:projects/{name}", "module", name, state="integrated")
        if engine:
            database = Node(f"database:projects/{name}", "database", f"{name.replace('-', '_')}_db", engine, port)
            maker.edge(database, module)
        own = Node("server:weather", "server", "weather_code", "own server", 4000)
        maker.edge(module, own if name == "weather" else SHARED)
    _documented_deployment(maker, "sales-report", "staging", "rsync", "staging.acme.example")
    _documented_deployment(maker, "sales-report", "production", "ci-cd", "one.acme.example", "two.acme.example")
    _documented_deployment(maker, "weather", "production", "docker", "two.acme.example")
    draft = Node("module:projects/web-shop", "module", "web-shop", state="not integrated")
    maker.nodes[draft.id] = draft
    return maker.graph()


def _documented_deployment(maker: GraphMaker, module: str, name: str, strategy: str, *hosts: str) -> None:
    deployment = Node(f"deployment:{module}/{name}", "deployment", name, strategy)
    maker.edge(maker.nodes[f"module:projects/{module}"], deployment)
    for host in hosts:
        maker.edge(deployment, Node(f"host:{host}", "host", host))

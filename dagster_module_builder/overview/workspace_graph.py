"""Reading a workspace's graph from its files; no Dagster and no host is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.model.deployment import deployments_of, read_deployment
from dagster_module_builder.disclosure.messages import harmless_text
from dagster_module_builder.disclosure.terminal import shown
from dagster_module_builder.native.location_entries import LocationEntry, locations
from dagster_module_builder.overview.graph import KINDS, Edge, Graph, Node
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.workspaces.listing import Listed, listing
from dagster_module_builder.workspaces.workspace import Workspace, look_at


@dataclass(frozen=True)
class _Part:
    """Nodes and edges of one module."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def workspace_graph(root: Path) -> Graph:
    """Return the graph of a workspace, without what may be secret.

    Raises:
        BuilderError: There is no workspace at ``root``, or its files cannot be read.
    """
    workspace = look_at(root)
    servers = _servers(workspace)
    parts = [_module(workspace, module, servers) for module in listing(root)]
    # What several modules have, a server or a host, is one node.
    nodes = {node.id: node for part in parts for node in part.nodes}
    in_columns = sorted(nodes.values(), key=lambda node: list(KINDS).index(node.kind))
    edges = dict.fromkeys(edge for part in parts for edge in part.edges)
    graph = Graph(f"Workspace {root.resolve().name}", tuple(in_columns), tuple(edges))
    return graph.with_names(lambda text: shown(harmless_text(text)))


def _module(workspace: Workspace, module: Listed, servers: Mapping[str, Node]) -> _Part:
    node = Node(f"module:{module.path}", "module", module.name, state=module.state)
    before = [_database(workspace, module)] if module.database else []
    server = servers.get(ModuleNames(module.name).snake) if module.integrated else None
    parts = [_deployment(module, folder) for folder in deployments_of(workspace.root / module.path)]
    after = [*filter(None, [server]), *(part.nodes[0] for part in parts)]
    return _Part(
        (*before, node, *after, *(host for part in parts for host in part.nodes[1:])),
        (
            *(Edge(database.id, node.id) for database in before),
            *(Edge(node.id, other.id) for other in after),
            *(edge for part in parts for edge in part.edges),
        ),
    )


def _database(workspace: Workspace, module: Listed) -> Node:
    entry = workspace.registry.find(module.name) if module.integrated else None
    service = (entry.database or {}).get("service") if entry else None
    engine = str(module.database)
    return Node(f"database:{module.path}", "database", str(service or engine), engine, module.port)


def _deployment(module: Listed, folder: Path) -> _Part:
    identity = f"deployment:{module.path}/{folder.name}"
    try:
        deployment = read_deployment(folder)
    except BuilderError:
        return _Part((Node(identity, "deployment", folder.name, state="unreadable"),), ())
    node = Node(identity, "deployment", deployment.name, str(deployment.data["strategy"]))
    hosts = [Node(f"host:{name}", "host", name) for name in deployment.host_names]
    return _Part((node, *hosts), tuple(Edge(identity, host.id) for host in hosts))


def _servers(workspace: Workspace) -> dict[str, Node]:
    """Return what runs the code of each location, by the location's name."""
    env = env_file.values(workspace.own_text(env_file.NAME))
    shared = Node("server:dagster", "server", "Dagster", "shared process", _port(env.get("DAGSTER_PORT")))
    return dict(_served(locations(workspace.root), shared))


def _served(entries: list[LocationEntry], shared: Node) -> Iterator[tuple[str, Node]]:
    for entry in entries:
        server = entry.entry.get("grpc_server")
        if isinstance(server, dict):
            name = str(server.get("host") or entry.name)
            yield entry.name, Node(f"server:{entry.name}", "server", name, "own server", _port(server.get("port")))
        elif entry.own_server:
            yield entry.name, Node(f"server:{entry.name}", "server", entry.name, "own environment")
        else:
            yield entry.name, shared


def _port(value: Any) -> int | None:
    text = str(value or "")
    return int(text) if text.isdecimal() and len(text) < 6 else None

"""The graph in Mermaid's language, as Mermaid itself reads it."""

from __future__ import annotations

import html
import json
import re
import subprocess
from typing import Any

import pytest

from dagster_module_builder.overview.graph import Graph, Node
from dagster_module_builder.overview.mermaid import markdown, mermaid
from tests.node_programs import installed
from tests.overview.graphs import sample

pytestmark = [pytest.mark.slow]

PROGRAM = """
import { JSDOM } from 'jsdom';
import { readFileSync } from 'node:fs';
const { window } = new JSDOM('<!doctype html><body></body>');
globalThis.window = window;
globalThis.document = window.document;
const { default: mermaid } = await import('mermaid');
const text = readFileSync(0, 'utf8');
await mermaid.parse(text);
const { type, db } = await mermaid.mermaidAPI.getDiagramFromText(text);
console.log(JSON.stringify({
    type, title: db.getAccTitle(), description: db.getAccDescription(),
    nodes: [...db.getVertices().values()].map(node => [node.id, node.text, node.type, node.classes]),
    edges: db.getEdges().map(edge => [edge.start, edge.end]),
    columns: db.getSubGraphs().map(column => column.title),
}));
"""


def read(text: str) -> dict[str, Any]:
    """Return what Mermaid reads in a diagram; fail if it is none."""
    folder = installed("mermaid", "mermaid").parents[1]
    line = ["node", "--input-type=module", "--eval", PROGRAM]
    done = subprocess.run(line, cwd=folder, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def plain(label: str) -> str:
    """Return a label as Mermaid draws it: while it parses, ``#60;`` has another form."""
    return html.unescape(label.replace("ﬂ°°", "&#").replace("¶ß", ";"))


@pytest.mark.parametrize("modules", [1, 12, 60])
def test_mermaid_reads_every_node_and_edge(modules: int) -> None:
    graph = sample(modules)
    seen = read(mermaid(graph))
    assert (seen["type"], seen["title"]) == ("flowchart-v2", "Workspace sample")
    assert seen["description"] == graph.summary
    texts = {node[0]: plain(node[1]).partition("<br>")[0] for node in seen["nodes"]}
    assert sorted(texts.values()) == sorted(node.name for node in graph.nodes)
    names = {node.id: node.name for node in graph.nodes}
    drawn = sorted((texts[start], texts[end]) for start, end in seen["edges"])
    assert drawn == sorted((names[edge.source], names[edge.target]) for edge in graph.edges)
    assert set(seen["columns"]) == {"Databases", "Modules", "Code servers", "Deployments", "Hosts"}


def test_mermaid_reads_a_workspace_without_modules() -> None:
    assert read(mermaid(Graph("Workspace new", (), ())))["nodes"] == []


def test_states_are_words_and_styles() -> None:
    nodes = {plain(text): classes for _, text, _, classes in read(mermaid(sample(12)))["nodes"]}
    assert nodes["sales-report-5<br>not integrated"] == ["notIntegrated"]
    assert nodes["web-shop-9<br>folder missing"] == ["folderMissing"]
    assert nodes["stock-1"] == []


@pytest.mark.parametrize(
    "name",
    ["end", 'x"] --> y', "<script>alert(1)</script>", "#quot;", "`a`", "%% a", "a; b", "{a}|b|", "Größe 東", "&lt;"],
)
def test_names_are_only_names(name: str) -> None:
    graph = Graph(f"Workspace {name}", (Node("module:m", "module", name),), ())
    ((_, text, _, _),) = read(mermaid(graph))["nodes"]
    assert plain(text) == name


def test_a_page_has_the_diagram_in_a_block_that_markdown_draws() -> None:
    graph = sample(1)
    (block,) = re.findall(r"^```mermaid\n(.*?)^```$", markdown(graph), re.MULTILINE | re.DOTALL)
    assert block == mermaid(graph)
    assert markdown(graph).startswith("# Workspace sample\n\n")

"""``workspace.graph`` as it is typed: what is drawn, where it is written, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.quick_program import QuickProgram, Result
from tests.cli.terminal import Terminal

OLD = "<svg>old</svg>\n"


def typed(terminal: Terminal, program: QuickProgram, *flags: str) -> Result:
    return program.run("workspace.graph", *flags, environ=terminal.environment, folder=terminal.cwd)


def done(terminal: Terminal, program: QuickProgram, *flags: str) -> str:
    result = typed(terminal, program, *flags)
    assert result.code == 0, result
    return result.out


def data(terminal: Terminal, program: QuickProgram) -> dict[str, Any]:
    graph: dict[str, Any] = json.loads(done(terminal, program, "--json"))
    return graph


def node(graph: dict[str, Any], kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in graph["nodes"] if (one["kind"], one["name"]) == (kind, name))
    return dict(found)


def test_the_graph_has_what_the_workspace_has(full: Terminal, quick_program: QuickProgram) -> None:
    graph = data(full, quick_program)
    assert node(graph, "database", "sales_db") == {
        "id": "database:projects/sales", "kind": "database", "name": "sales_db", "type": "postgresql", "port": 5440,
        "state": None,
    }  # fmt: skip
    assert node(graph, "module", "sales")["state"] == "integrated"
    assert node(graph, "server", "Dagster")["type"] == "shared process"
    assert node(graph, "deployment", "yoda")["type"] == "rsync"
    assert node(graph, "host", "127.0.0.1:1")["id"] == "host:127.0.0.1:1"
    assert sorted((edge["source"], edge["target"]) for edge in graph["edges"]) == [
        ("database:projects/sales", "module:projects/sales"),
        ("deployment:projects/sales/yoda", "host:127.0.0.1:1"),
        ("module:projects/sales", "deployment:projects/sales/yoda"),
        ("module:projects/sales", "server:dagster"),
    ]


def test_a_module_with_its_own_server_is_drawn_with_it(full: Terminal, quick_program: QuickProgram) -> None:
    full.done("new", "lonely", "--no-input", "--database=none", "--code-server=own", "--workspace=yes")
    graph = data(full, quick_program)
    server = node(graph, "server", "lonely_code")
    assert (server["type"], server["port"]) == ("own server", 4000)
    assert {"source": "module:projects/lonely", "target": server["id"]} in graph["edges"]
    assert {"source": "module:projects/lonely", "target": "server:dagster"} not in graph["edges"]


def test_states_are_drawn(full: Terminal, quick_program: QuickProgram) -> None:
    full.done("new", "other", "--no-input", "--database=mysql", "--workspace=no")
    (full.root / "projects/sales/deploy/yoda/deployment.yaml").write_text("client: [\n")
    graph = data(full, quick_program)
    assert node(graph, "module", "other")["state"] == "not integrated"
    assert node(graph, "database", "mysql")["port"] is None
    assert node(graph, "deployment", "yoda")["state"] == "unreadable"
    shutil.rmtree(full.root / "projects/sales")
    assert node(data(full, quick_program), "module", "sales")["state"] == "folder missing"
    assert "folder missing" in done(full, quick_program)
    assert "folder missing" in done(full, quick_program, "--format", "svg")


def test_a_workspace_without_modules_has_a_graph(workspace: Terminal, quick_program: QuickProgram) -> None:
    assert data(workspace, quick_program)["nodes"] == []
    assert "There are no modules yet." in done(workspace, quick_program, "--format=svg")
    assert done(workspace, quick_program).startswith("flowchart LR\n")


def test_a_file_is_what_its_name_says(full: Terminal, quick_program: QuickProgram) -> None:
    mermaid, svg = done(full, quick_program), done(full, quick_program, "--format", "svg")
    assert mermaid.startswith("flowchart LR\n")
    assert svg.startswith("<svg ")
    wanted = {"a.mmd": mermaid, "a.svg": svg, "a.md": f"# Workspace workspace\n\n```mermaid\n{mermaid}```\n"}
    for name, text in wanted.items():
        assert done(full, quick_program, "--output", name) == f"Wrote {full.cwd / name}\n"
        assert (full.cwd / name).read_text() == text
    assert done(full, quick_program, "--output", "~/b.svg")
    assert (Path(full.environment["HOME"]) / "b.svg").read_text() == svg
    assert json.loads(done(full, quick_program, "--output", "a.svg", "--json"))["nodes"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--output", "a.png"], "must end with .mmd, .md or .svg"),
        (["--output", "docker-compose.yml", "--format", "svg"], "must end with"),
        (["--output", "a.svg", "--format", "mermaid"], "a.svg is for svg, but --format says mermaid"),
        (["--format", "png"], "Choose one of mermaid, svg"),
        (["--format", "svg", "--json"], "--json prints data"),
    ],
)
def test_flags_that_do_not_fit_are_wrong_usage(
    full: Terminal, quick_program: QuickProgram, flags: list[str], words: str
) -> None:
    result = typed(full, quick_program, *flags)
    assert (result.code, words in result.text) == (2, True), result
    assert list(full.cwd.glob("*.*g")) == []


def test_a_picture_replaces_a_file_at_once_and_keeps_its_mode(full: Terminal, quick_program: QuickProgram) -> None:
    file, other = full.cwd / "a.svg", full.cwd / "open.svg"
    file.write_text(OLD)
    file.chmod(0o640)
    with file.open() as reading:
        done(full, quick_program, "--output", "a.svg")
        # Who reads the old file while it is replaced reads all of it: the new one is another file.
        assert reading.read() == OLD
    assert file.read_text().startswith("<svg ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert not other.exists()
    assert [path.name for path in full.cwd.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize("kind", ["folder", "link", "dangling link", "fifo", "read-only", "no folder"])
def test_nothing_but_a_regular_file_is_replaced(full: Terminal, quick_program: QuickProgram, kind: str) -> None:
    file, target = full.cwd / "a.svg", full.cwd / "target.svg"
    target.write_text(OLD)
    make = {
        "folder": file.mkdir,
        "link": lambda: file.symlink_to(target),
        "dangling link": lambda: file.symlink_to("nowhere"),
        "fifo": lambda: os.mkfifo(file),
        "read-only": lambda: (file.write_text(OLD), file.chmod(0o444)),
        "no folder": lambda: None,
    }
    make[kind]()
    name = "no/such/a.svg" if kind == "no folder" else "a.svg"
    result = typed(full, quick_program, "--output", name)
    assert result.code == 1, result
    assert "Nothing was changed." in result.err
    assert "Traceback" not in result.err
    assert target.read_text() == OLD
    assert not (full.cwd / "nowhere").exists()
    assert not (full.cwd / "no").exists()


def test_secrets_are_in_no_picture(full: Terminal, quick_program: QuickProgram) -> None:
    """FAULTS A2: a value of '.env' is not drawn, wherever else it stands."""
    with (full.root / "services/dagster/.env").open("a") as env:
        env.write("OWN_TOKEN='canary7.example'\n")
    file = full.root / "projects/sales/deploy/yoda/deployment.yaml"
    file.write_text(file.read_text().replace('"127.0.0.1"', '"canary7.example"'))
    assert "canary7" in file.read_text()
    for flags in ([], ["--format=svg"], ["--json"]):
        assert "canary7" not in done(full, quick_program, *flags)
    for name in ("a.svg", "a.md", "a.mmd"):
        done(full, quick_program, "--output", name)
        assert "canary7" not in (full.cwd / name).read_text()
        assert "…" in (full.cwd / name).read_text()


def test_the_same_workspace_gives_the_same_bytes(full: Terminal, quick_program: QuickProgram) -> None:
    for flags in ([], ["--format=svg"], ["--json"]):
        assert done(full, quick_program, *flags) == done(full, quick_program, *flags)
    moved = full.root.with_name("moved") / full.root.name
    shutil.copytree(full.root, moved, symlinks=True)
    assert done(full, quick_program, "--format=svg", "--root", str(moved)) == done(full, quick_program, "--format=svg")

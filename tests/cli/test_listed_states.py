"""``workspace.list`` without a Dagster: what is known is said at once, and nothing wrong; and on narrow terminals."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from dagster_module_builder.commands.narrow_table import fitted, folded
from dagster_module_builder.native.native_folder import HOME
from tests.cli.quick_program import QuickProgram
from tests.cli.screen import on_screen
from tests.cli.task_lines import without_tools
from tests.cli.terminal import PROGRAM, Terminal, everything_in
from tests.ports import free_port

INDEX = HOME / "history/runs/index.db"
STOPPED = "Dagster does not run: the state of code locations is unknown."
#: 2026-01-02 03:04:05 UTC
RUN_AT = 1767323045.25


@pytest.fixture
def quiet(full: Terminal) -> Terminal:
    """A workspace on whose port nothing listens."""
    set_port(full, free_port())
    return full


def set_port(terminal: Terminal, port: int) -> None:
    env = terminal.root / "services/dagster/.env"
    kept = [line for line in env.read_text().splitlines() if not line.startswith("DAGSTER_PORT=")]
    env.write_text("\n".join([f"DAGSTER_PORT='{port}'", *kept, ""]))


def listed(terminal: Terminal, program: QuickProgram) -> dict[str, Any]:
    result = program.run("workspace.list", "--json", environ=terminal.environment, folder=terminal.cwd)
    assert result.code == 0, result
    data: dict[str, Any] = json.loads(result.out)
    return data


def store_native_run(root: Path, key: list[str], event: object) -> Path:
    """Write a table of assets as Dagster 1.13 has it, with one asset."""
    file = root / INDEX
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS asset_keys (asset_key TEXT, last_materialization TEXT)")
        connection.execute(
            "INSERT INTO asset_keys VALUES (?, ?)", (json.dumps(key), None if event is None else json.dumps(event))
        )
    return file


def event_at(timestamp: float) -> dict[str, Any]:
    return {"__class__": "EventLogRecord", "event_log_entry": {"timestamp": timestamp}, "storage_id": 1}


def test_without_dagster_one_line_says_what_is_unknown(quiet: Terminal, quick_program: QuickProgram) -> None:
    result = quick_program.run("workspace.list", environ=quiet.environment, folder=quiet.cwd)
    assert result.err == f"{STOPPED}\n"
    heading, row = (line.split() for line in result.out.replace(" (UTC)", "").splitlines())
    cells = dict(zip(heading, [*row[:6], " ".join(row[6:8]), *row[8:]], strict=True))
    assert (cells["LOCATION"], cells["MATERIALIZED"], cells["DEPLOYMENTS"]) == ("-", "-", "yoda")
    (module,) = listed(quiet, quick_program)["modules"]
    assert (module["location"], module["location_error"], module["last_materialization"]) == (None, None, None)
    assert module["deployments"] == ["yoda"]


def test_fields_are_only_added(quiet: Terminal, quick_program: QuickProgram) -> None:
    data = listed(quiet, quick_program)
    assert list(data) == ["modules", "dagster"]
    assert list(data["modules"][0])[:9] == [
        "name", "path", "integrated", "missing", "integrated_at", "database", "port", "template_version", "allowed",
    ]  # fmt: skip
    assert data["dagster"] == {"url": None, "note": STOPPED}


def test_the_last_native_run_is_read_and_nothing_is_written(quiet: Terminal, quick_program: QuickProgram) -> None:
    store_native_run(quiet.root, ["sales", "old"], event_at(RUN_AT - 86400))
    store_native_run(quiet.root, ["sales", "new"], event_at(RUN_AT))
    store_native_run(quiet.root, ["sales", "never"], None)
    store_native_run(quiet.root, ["other", "newest"], event_at(RUN_AT + 86400))
    before = everything_in(quiet.root)
    result = quick_program.run("workspace.list", environ=quiet.environment, folder=quiet.cwd)
    assert result.err == f"{STOPPED} Materializations are those of native runs.\n"
    assert "2026-01-02 03:04" in result.out
    (module,) = listed(quiet, quick_program)["modules"]
    assert datetime.fromisoformat(module["last_materialization"]) == datetime.fromtimestamp(int(RUN_AT), timezone.utc)
    assert everything_in(quiet.root) == before


def test_the_entry_of_an_earlier_dagster_is_read(quiet: Terminal, quick_program: QuickProgram) -> None:
    store_native_run(quiet.root, ["sales", "raw"], {"__class__": "EventLogEntry", "timestamp": RUN_AT})
    assert listed(quiet, quick_program)["modules"][0]["last_materialization"] == "2026-01-02T03:04:05+00:00"


def test_what_a_run_in_progress_has_just_stored_is_read(quiet: Terminal, quick_program: QuickProgram) -> None:
    """SQLite keeps it in a log beside the table until the last one who has it open is gone."""
    file = store_native_run(quiet.root, ["sales", "raw"], event_at(RUN_AT - 86400))
    with closing(sqlite3.connect(file)) as running:
        running.execute("UPDATE asset_keys SET last_materialization = ?", (json.dumps(event_at(RUN_AT)),))
        running.commit()
        assert file.with_name("index.db-wal").stat().st_size
        assert listed(quiet, quick_program)["modules"][0]["last_materialization"] == "2026-01-02T03:04:05+00:00"


STRANGE: list[object] = ["text", [], {}, {"event_log_entry": None}, {"timestamp": "soon"}, {"timestamp": 1e99}]


@pytest.mark.parametrize("event", STRANGE)
def test_tables_that_mean_something_else_say_nothing(
    quiet: Terminal, quick_program: QuickProgram, event: object
) -> None:
    store_native_run(quiet.root, ["sales", "raw"], event)
    assert listed(quiet, quick_program)["modules"][0]["last_materialization"] is None


@pytest.mark.parametrize("content", [b"", b"no database", None], ids=["empty", "text", "folder"])
def test_a_damaged_table_is_not_in_the_way(quiet: Terminal, quick_program: QuickProgram, content: bytes | None) -> None:
    file = quiet.root / INDEX
    file.parent.mkdir(parents=True)
    file.mkdir() if content is None else file.write_bytes(content)
    assert listed(quiet, quick_program)["modules"][0]["last_materialization"] is None


@contextmanager
def silent_listener() -> Iterator[int]:
    """Take connections, and never answer."""
    with closing(create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


def test_what_never_answers_delays_for_two_seconds_only(quiet: Terminal, quick_program: QuickProgram) -> None:
    with silent_listener() as port:
        set_port(quiet, port)
        begun = time.monotonic()
        data = listed(quiet, quick_program)
        assert time.monotonic() - begun < 2 + 1.5
    assert data["modules"][0]["location"] is None
    assert STOPPED in data["dagster"]["note"] or "within 2 seconds" in data["dagster"]["note"]


@contextmanager
def listener(answer: str) -> Iterator[int]:
    """Answer whatever is asked with the same text."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


DAGSTERS = '{"dagster_webserver_version": "1.13", "data": {"instance": {"info": "%s"}%s}}'
HOME_SETTING = "local_artifact_storage: {config: {base_dir: '%s'}}"


@pytest.mark.parametrize("answer", ["5", "null", "[]", "{}", "<html>", DAGSTERS % ("", "")])
def test_another_program_on_the_port_is_not_taken_for_dagster(
    quiet: Terminal, quick_program: QuickProgram, tmp_path: Path, answer: str
) -> None:
    with listener(answer) as port:
        set_port(quiet, port)
        environ = without_tools(quiet, tmp_path)
        result = quick_program.run("workspace.list", "--json", environ=environ, folder=quiet.cwd)
    assert (result.code, result.err) == (0, "")
    data = json.loads(result.out)
    assert (data["dagster"]["url"], data["modules"][0]["location"]) == (None, None)
    assert data["dagster"]["note"]


@pytest.mark.parametrize(
    ("more", "url", "note"),
    [
        ("", False, "does not answer as Dagster does"),
        (', "workspaceOrError": {"locationEntries": []}', True, "materializations are unknown"),
        (', "workspaceOrError": {"locationEntries": []}, "assetNodes": [5]', True, "materializations are unknown"),
    ],
)
def test_a_dagster_that_answers_otherwise_is_said_to(
    quiet: Terminal, quick_program: QuickProgram, more: str, url: bool, note: str
) -> None:
    with listener(DAGSTERS % (HOME_SETTING % quiet.root, more)) as port:
        set_port(quiet, port)
        data = listed(quiet, quick_program)
    assert data["dagster"]["url"] == (f"http://127.0.0.1:{port}" if url else None)
    assert note in data["dagster"]["note"]
    assert data["modules"][0]["location"] == ("not loaded" if url else None)


def test_no_dagster_is_imported_and_nothing_that_starts_programs(quiet: Terminal) -> None:
    slow = ("dagster", "dagster_module_builder.compose.docker", "fabric")
    program = (
        "import sys; from pathlib import Path; from dagster_module_builder.overview.module_states import overview; "
        f"overview(Path({str(quiet.root)!r})); print([name for name in {slow} if name in sys.modules])"
    )
    assert quiet.run("-c", program, program=(str(PROGRAM.with_name("python")),)).stdout == "[]\n"


def test_a_narrow_terminal_gets_the_most_important_columns(quiet: Terminal) -> None:
    columns = {80: ["MODULE", "STATE", "LOCATION", "MATERIALIZED (UTC)", "DEPLOYMENTS"], 200: ["TEMPLATE", "PORT"]}
    for width, wanted in columns.items():
        with on_screen(quiet, "workspace.list", columns=width, COLUMNS="") as screen:
            assert screen.ends() == 0
            heading, row, *_ = screen.text.splitlines()
        assert [word for word in wanted if word not in heading] == []
        assert row.endswith("yoda")
        assert ("TEMPLATE" in heading) == (width > 80)


HEADINGS = ("MODULE", "PORT", "TEMPLATE", "DEPLOYMENTS")
ROWS = [("sales", "5440", "1.2.0", "leia, luke, yoda"), ("a", "-", "-", "-")]


@pytest.mark.parametrize(
    ("width", "headings", "deployments"),
    [
        (None, ["MODULE", "PORT", "TEMPLATE", "DEPLOYMENTS"], "leia, luke, yoda"),
        (40, ["MODULE", "PORT", "TEMPLATE", "DEPLOYMENTS"], "leia, luke, yoda"),
        (39, ["MODULE", "PORT", "DEPLOYMENTS"], "leia, luke, yoda"),
        (29, ["MODULE", "DEPLOYMENTS"], "leia, luke, yoda"),
        (22, ["MODULE", "DEPLOYMENTS"], "leia, luke +1"),
        (10, ["MODULE", "DEPLOYMENTS"], "leia +2"),
    ],
)
def test_columns_are_left_out_and_lists_folded_as_needed(
    width: int | None, headings: list[str], deployments: str
) -> None:
    shown, rows = fitted(HEADINGS, ROWS, width, ["TEMPLATE", "PORT"])
    assert shown == headings
    assert [row[-1] for row in rows] == [deployments, "-"]


def test_one_long_name_is_never_cut() -> None:
    assert folded("a-long-name", 3) == "a-long-name"
    assert folded("ab, cd", 1) == "ab +1"

"""The workspace without Docker: real uv, a real Dagster, its own environment made once for all tests here."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from dagster_module_builder.base.errors import DamagedFileError, NoWorkspaceError, RefusedError, ToolError
from dagster_module_builder.health import running_dagster
from dagster_module_builder.health.validate import validate
from dagster_module_builder.module_servers.listed import LONGEST_SOCKET_NAME
from dagster_module_builder.native import (
    code_servers,
    dev_server,
    local_dagster,
    native_environment,
    native_workspace,
)
from dagster_module_builder.native.location_entries import LocationEntry
from dagster_module_builder.native.native_definitions import Loaded, load_locations
from dagster_module_builder.native.native_folder import dev_url
from dagster_module_builder.programs import graphql
from dagster_module_builder.workspaces.initialize import initialize
from tests import json_outputs, needs
from tests.ports import free_port
from tests.workspace.native_modules import PARTITIONED, add_module

# Its environments are made once, by one process.
pytestmark = [pytest.mark.dagster, pytest.mark.slow, pytest.mark.xdist_group("native")]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with three modules, one of them with a separate code server; its environments are made once."""
    needs.registry()
    root = tmp_path_factory.mktemp("native") / "ws"
    initialize(root)
    add_module(root, "weather")
    add_module(root, "sales-report", PARTITIONED)
    add_module(root, "lonely", own_server=True)
    native_environment.shared_environment(root)
    return root


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_STORAGE_DIR", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def set_text(root: Path, text: str) -> None:
    env = root / "services/dagster/.env"
    kept = [line for line in env.read_text().splitlines() if not line.startswith("WEATHER_TEXT=")]
    env.write_text("\n".join([*kept, f"WEATHER_TEXT='{text}'", ""]))


def test_an_environment_is_made_once(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_module_builder.programs.uv_program.run", None)
    python = native_environment.shared_environment(workspace)
    assert python.is_relative_to(workspace / ".native")
    version = subprocess.run(
        [python, "-c", "import dagster; print(dagster.__version__)"], capture_output=True, text=True, check=True
    )
    lock = (workspace / "services/dagster/constraints.txt").read_text()
    assert f"dagster=={version.stdout.strip()}\n" in lock


def test_git_ignores_the_environment(workspace: Path) -> None:
    assert (workspace / ".native/.gitignore").read_text() == "*\n"


def test_a_requirement_that_cannot_be_met_is_said_in_uvs_words(root: Path) -> None:
    add_module(root, "old", requirements=("dagster<1",))
    with pytest.raises(ToolError, match=r"(?s)uv pip install failed \(exit status 1\):.*dagster<1"):
        native_environment.shared_environment(root)


def test_without_a_workspace_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(NoWorkspaceError):
        native_environment.shared_environment(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_assets_are_materialized_with_their_rows_and_paths(workspace: Path) -> None:
    set_text(workspace, "hello ")
    outcome = local_dagster.materialize(workspace, workspace / "projects/weather")
    storage = workspace / "data/storage/weather"
    assert [(asset.asset, asset.rows, asset.path) for asset in outcome.assets] == [
        ("weather/raw", 6, str(storage / "raw")),
        ("weather/cleaned", 5, str(storage / "cleaned")),
        ("weather/summary", 1, str(storage / "summary")),
    ]
    assert [(check.check, check.asset, check.passed) for check in outcome.checks] == [
        ("not_empty", "weather/cleaned", True)
    ]
    assert (storage / "summary").read_text() == "h"


def test_a_selection_is_materialized_alone(workspace: Path) -> None:
    outcome = local_dagster.materialize(workspace, workspace / "projects/weather", select="weather/raw")
    assert [asset.asset for asset in outcome.assets] == ["weather/raw"]


@pytest.mark.parametrize(("select", "words"), [("weather/nothing", "selects nothing|nothing"), ("((", "--select")])
def test_a_wrong_selection_is_named(workspace: Path, select: str, words: str) -> None:
    with pytest.raises(ToolError, match=words) as failure:
        local_dagster.materialize(workspace, workspace / "projects/weather", select=select)
    assert len(str(failure.value).splitlines()) < 8


def test_a_partition_is_materialized(workspace: Path) -> None:
    module = workspace / "projects/sales-report"
    outcome = local_dagster.materialize(workspace, module, partition="tuesday")
    assert [(asset.asset, asset.rows, asset.path) for asset in outcome.assets] == [("sales_report/daily", 7, None)]


@pytest.mark.parametrize("partition", [None, "sunday"])
def test_a_missing_or_unknown_partition_is_asked_for(workspace: Path, partition: str | None) -> None:
    with pytest.raises(ToolError, match=r"sales_report/daily is partitioned.*--partition.*2 keys, such as tuesday"):
        local_dagster.materialize(workspace, workspace / "projects/sales-report", partition=partition)


def test_a_partition_for_what_has_none_is_refused(workspace: Path) -> None:
    with pytest.raises(ToolError, match="none of the selected assets is partitioned"):
        local_dagster.materialize(workspace, workspace / "projects/weather", partition="monday")


def test_a_failing_asset_is_named_with_its_reason_and_no_traceback(workspace: Path) -> None:
    set_text(workspace, "broken")
    with pytest.raises(ToolError) as failure:
        local_dagster.materialize(workspace, workspace / "projects/weather")
    assert "weather__cleaned: ValueError: the text is broken" in str(failure.value)
    assert str(failure.value).count("the text is broken") == 1
    assert "KeyError" not in str(failure.value)
    assert "Traceback" not in str(failure.value)
    assert len(str(failure.value).splitlines()) < 4


def test_a_failing_blocking_check_is_named(workspace: Path) -> None:
    set_text(workspace, " ")
    with pytest.raises(ToolError, match="not_empty") as failure:
        local_dagster.materialize(workspace, workspace / "projects/weather")
    assert "Traceback" not in str(failure.value)


def test_a_log_is_shown_when_asked_for(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """FAULTS S8: on a terminal, what the module prints cannot steer it."""
    set_text(workspace, "hello")
    screen, end = pty.openpty()
    with patch.object(sys, "stderr", os.fdopen(end, "w")), ThreadPoolExecutor() as pool:
        reading = pool.submit(read_to_the_end, screen)
        local_dagster.materialize(workspace, workspace / "projects/weather", verbose=True)
        sys.stderr.close()
        err = reading.result()
    assert capfd.readouterr() == ("", "")
    assert "a module may print\\x07" in err
    assert "RUN_SUCCESS" in err
    assert "\x07" not in err


def read_to_the_end(screen: int) -> str:
    read = b""
    with contextlib.suppress(OSError):
        while more := os.read(screen, 65536):
            read += more
    return read.decode()


def test_code_that_does_not_load_is_named(workspace: Path) -> None:
    file = workspace / "projects/weather/src/weather_dagster/definitions.py"
    before = file.read_text()
    try:
        file.write_text(before + "\nimport no_such_module\n")
        with pytest.raises(
            ToolError, match=r"weather_dagster\.definitions does not load: ModuleNotFoundError.*no_such_module"
        ):
            local_dagster.materialize(workspace, workspace / "projects/weather")
    finally:
        file.write_text(before)


def test_locations_are_loaded_each_by_itself(workspace: Path) -> None:
    loaded = load_locations(workspace)
    assert loaded.failures == []
    keys = {module.name: keys for module, keys in loaded.keys.items()}
    assert keys == {
        "weather": ["weather/cleaned", "weather/raw", "weather/summary"],
        "sales-report": ["sales_report/daily"],
        "lonely": ["lonely/cleaned", "lonely/raw", "lonely/summary"],
    }
    assert validate(workspace, check=False, load=True) == []


@pytest.mark.parametrize(
    ("lines", "words", "line"),
    [
        (["import no_such_module"], "ModuleNotFoundError: No module named 'no_such_module'", 1),
        (["x = = 1"], "SyntaxError: invalid syntax", 1),
        (["try:", "    {}['a']", "except KeyError as error:", "    raise RuntimeError from error"], "KeyError: 'a'", 2),
        (["error = ValueError('itself')", "raise error from error"], "ValueError: itself", 2),
        (['defs = dg.Definitions(jobs=[dg.define_asset_job("all", selection=["gone"])])'], "gone", None),
        (["import os", "os._exit(3)"], "its process ended with the exit code 3", None),
        (["import os, signal", "os.kill(os.getpid(), signal.SIGSEGV)"], "its process ended with the signal 11", None),
    ],
)
def test_a_location_that_does_not_load_is_named_with_its_line(
    workspace: Path, lines: list[str], words: str, line: int | None
) -> None:
    file = workspace / "projects/weather/src/weather_dagster/definitions.py"
    before = file.read_text()
    try:
        file.write_text("\n".join([before, *lines, ""]))
        loaded = load_locations(workspace)
    finally:
        file.write_text(before)
    (failure,) = loaded.failures
    assert (failure.location, failure.module) == ("weather", workspace / "projects/weather")
    assert words in failure.error
    assert failure.place == (f"{file}:{len(before.splitlines()) + 1 + line}" if line else "")
    assert {module.name for module in loaded.keys} == {"sales-report", "lonely"}


def test_locations_of_others_are_left_to_dagsters_own_command(root: Path) -> None:
    module = add_module(root, "weather")
    (module / "src/weather_dagster").rename(module / "src/sky")
    file = root / "services/dagster/workspace.yaml"
    text = file.read_text().replace("weather_dagster.definitions", "sky.definitions")
    entry = "  - python_file: {{relative_path: {0}.py, location_name: {0}}}\n"
    file.write_text(text + entry.format("whole") + entry.format("broken"))
    (file.parent / "whole.py").write_text("import dagster as dg\n\nnothing = dg.Definitions()\n")
    (file.parent / "broken.py").write_text("import no_such_module\n")
    loaded = load_locations(root)
    assert list(loaded.keys) == [module]
    (failure,) = loaded.failures
    assert (failure.location, failure.module, failure.place) == ("broken", None, f"{file.parent}/broken.py:1")
    assert failure.error == "ModuleNotFoundError: No module named 'no_such_module'"


def test_an_empty_workspace_validates(root: Path) -> None:
    assert load_locations(root) == Loaded()
    assert not (root / ".native").exists()


def test_a_module_with_its_own_server_runs_from_its_own_environment(workspace: Path) -> None:
    outcome = local_dagster.materialize(workspace, workspace / "projects/lonely")
    assert [asset.asset for asset in outcome.assets] == ["lonely/raw", "lonely/cleaned", "lonely/summary"]
    assert (workspace / ".native/lonely/venv/bin/python").exists()


def test_a_workspace_file_is_derived_only_for_own_servers(workspace: Path, root: Path) -> None:
    add_module(root, "weather")
    assert native_workspace.workspace_file(root) == (root / "services/dagster/workspace.yaml", ())
    derived, left_out = native_workspace.workspace_file(workspace)
    assert left_out == ()
    assert derived == workspace / ".native/workspace.yaml"
    shared, partitioned, own = yaml.safe_load(derived.read_text())["load_from"]
    assert shared["python_package"]["working_directory"] == "../../projects/weather/src"
    assert partitioned["python_package"]["location_name"] == "sales_report"
    folder = str(workspace / "services/dagster")
    beside = {"relative_path": f"{folder}/more.py", "working_directory": folder}
    for given in ("more.py", {"relative_path": "more.py"}):
        entry = LocationEntry({"python_file": given})
        assert native_workspace.native_entry(workspace, entry) == {"python_file": beside}
    assert own["python_package"]["executable_path"] == str(workspace / ".native/lonely/venv/bin/python")


def test_a_module_that_is_not_integrated_runs_with_its_fragments_variables(workspace: Path) -> None:
    entries = (workspace / "services/dagster/workspace.yaml").read_text()
    env = (workspace / "services/dagster/.env").read_text()
    module = add_module(workspace, "visitor")
    (workspace / "services/dagster/workspace.yaml").write_text(entries)
    (workspace / "services/dagster/.env").write_text(env)
    (module / "workspace/local").mkdir(parents=True)
    (module / "workspace/local/.env").write_text("VISITOR_TEXT='from the fragment'\n")
    outcome = local_dagster.materialize(workspace, module, select="visitor/raw")
    assert [asset.rows for asset in outcome.assets] == [len("from the fragment")]


@pytest.mark.parametrize(
    ("text", "words"),
    [("load_from: [", r"workspace\.yaml:1: "), ("load_from: [a]", "mapping"), ("[]x: 1", "yaml"), ("- a", "yaml")],
)
def test_a_damaged_workspace_file_is_named(root: Path, text: str, words: str) -> None:
    (root / "services/dagster/workspace.yaml").write_text(text)
    with pytest.raises(DamagedFileError, match=words):
        native_workspace.workspace_file(root)


def test_a_storage_folder_of_the_callers_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert native_environment.process_environment(tmp_path, {})["DAGSTER_STORAGE_DIR"] == str(tmp_path / "data/storage")
    given = native_environment.process_environment(tmp_path, {"DAGSTER_STORAGE_DIR": "s3://bucket"})
    assert given["DAGSTER_STORAGE_DIR"] == "s3://bucket"


def test_databases_that_are_down_are_named_with_the_command_that_starts_them(root: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        up = listening.getsockname()[1]
        with (root / "services/dagster/.env").open("a") as env:
            env.write(f"SALES_REPORT_DB_PORT='1'\nUP_DB_PORT='{up}'\n")
        (down,) = local_dagster.databases_down(root)
    assert (down.service, down.port) == ("sales_report_db", 1)
    assert down.command.endswith("up --detach sales_report_db")


@contextlib.contextmanager
def added_meanwhile(workspace: Path, name: str) -> Iterator[None]:
    """Have a running Dagster load one more module, and then without it again, as ``add`` and ``remove`` do."""
    listed, url = workspace / "services/dagster/workspace.yaml", dev_url(workspace)
    assert url
    before = listed.read_bytes()
    module = add_module(workspace, name)
    for is_in in (True, False):
        if not is_in:
            listed.write_bytes(before)
            shutil.rmtree(module)
        code_servers.await_served(workspace, local_dagster.prepare(workspace).workspace)
        graphql.reload_workspace(url)
        limit = time.monotonic() + 60
        while graphql.LOADING in graphql.location_states(url).values():
            assert time.monotonic() < limit
            time.sleep(0.5)
        if is_in:
            yield


def test_dev_shows_all_locations_and_earlier_runs_until_it_is_interrupted(workspace: Path) -> None:
    set_text(workspace, "hello")
    shutil.rmtree(workspace / native_environment.HOME)
    port = free_port()
    command = [needs.program("dagster-module-builder"), "workspace.dev", "--root", str(workspace), "--port", str(port)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        # FAULTS E2: the first start and the first run at once; the storage is made by one of them.
        local_dagster.materialize(workspace, workspace / "projects/weather")
        url = f"http://127.0.0.1:{port}"
        limit = time.monotonic() + 300
        while not graphql.is_up(url):
            assert process.poll() is None, process.stdout.read().decode() if process.stdout else ""
            assert time.monotonic() < limit
            time.sleep(0.5)
        with pytest.raises(RefusedError, match=f"is already running at {url}"):
            dev_server.dev(workspace, free_port())
        assert graphql.location_states(url) == {"weather": None, "sales_report": None, "lonely": None}
        told: list[str] = []
        assert running_dagster.await_locations(workspace, told.append) == graphql.location_states(url)
        assert sorted(told) == ["  lonely: loaded", "  sales_report: loaded", "  weather: loaded"]
        query = "{ shouldShowNux runsOrError(limit: 1) { ... on Runs { results { status } } } }"
        request = urllib.request.Request(
            f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            data = json.load(answer)["data"]
        assert data["runsOrError"]["results"] == [{"status": "SUCCESS"}]
        # FAULTS G: the welcome dialog covers the first page.
        assert data["shouldShowNux"] is False
        with added_meanwhile(workspace, "late"):
            assert graphql.location_states(url) == dict.fromkeys(("weather", "sales_report", "lonely", "late"))
        assert graphql.location_states(url) == dict.fromkeys(("weather", "sales_report", "lonely"))
        # As a terminal does: to the whole group.
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
        assert output.decode().splitlines() == [
            "Preparing the environment…",
            "Starting Dagster and loading the code locations…",
            f"Dagster is at {url} · 3 code locations loaded · Ctrl-C stops it",
            "Stopping Dagster…",
        ]
        log = (workspace / native_environment.HOME / "dev.log").read_text()
        assert "dagster-webserver" in log
        served = set(re.findall(r"module_servers: (\w+) is served by process", log))
        assert served == ({"weather", "sales_report", "late"} if sys.platform == "linux" else set())
        assert not (workspace / ".native/served.yaml").exists()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_dev_opens_the_page_and_shows_the_log_and_ends_with_its_terminal(workspace: Path, tmp_path: Path) -> None:
    port = free_port()
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    line = ["workspace.dev", "--root", str(workspace), "--port", str(port), "--open", "--verbose", "--json"]
    with subprocess.Popen(
        [needs.program("dagster-module-builder"), *line],
        env={**os.environ, "BROWSER": str(browser)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        limit = time.monotonic() + 300
        while not (tmp_path / "opened").exists():
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.5)
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=240)
    assert (tmp_path / "opened").read_text() == f"http://127.0.0.1:{port}\n"
    json_outputs.check(line, out)
    ready = json.loads(out)
    assert (ready["address"], ready["loaded"], ready["failed"]) == (f"http://127.0.0.1:{port}", 3, [])
    assert f"Serving dagster-webserver on http://127.0.0.1:{port}" in err
    assert "Dagster services shut down" in err
    assert "\x1b" not in err
    left = subprocess.run(["pgrep", "--full", str(workspace / ".native/venv")], check=False, capture_output=True)
    assert (process.returncode, left.stdout) == (0, b"")


@pytest.mark.parametrize("length", [10, 30, 50, 90, 200])
def test_the_paths_of_sockets_are_never_too_long(root: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    (temporary := root.parent / "t".ljust(length, "t")).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with code_servers.serving(root, Path("python"), root / "workspace.yaml", {}) as (command, _):
        sockets = Path(command[command.index("--sockets") + 1])
        assert sockets.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as longest:
            longest.bind(str(sockets / "s".ljust(LONGEST_SOCKET_NAME, "s")))
    assert not sockets.exists()


def test_without_a_short_folder_dagster_starts_the_servers_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_servers, "_short_folder", lambda: None)
    with code_servers.serving(root, Path("python"), root / "workspace.yaml", {}) as (command, served):
        assert (command, served) == ([], root / "workspace.yaml")


@contextlib.contextmanager
def another_dagster(folder: str) -> Iterator[str]:
    """Give the address of a webserver that says that its instance is in this folder."""
    info = f"local_artifact_storage: {{config: {{base_dir: {folder}}}}}"

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"instance": {"info": info}}}).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_dagster_of_others_that_took_the_port_meanwhile_is_not_taken_for_the_workspaces(root: Path) -> None:
    native_environment._make_home(root)
    for folder, of_others in (("/elsewhere", True), (f"{root}/.native/home/storage", False)):
        with another_dagster(folder) as url:
            assert dev_server._is_of_others(root, url) is of_others
    settings = root / native_environment.HOME / "dagster.yaml"
    settings.write_text(settings.read_text() + "local_artifact_storage: {}\n")
    with another_dagster("/elsewhere") as url:
        assert not dev_server._is_of_others(root, url)


def test_a_dagster_that_ends_by_itself_is_reported_with_the_end_of_its_log(workspace: Path) -> None:
    """Here it was killed; locations that it could not load were named with their line before."""
    file = workspace / "projects/weather/src/weather_dagster/definitions.py"
    before = file.read_text()
    states: list[dev_server.Ready] = []

    def kill(state: dev_server.Ready) -> None:
        states.append(state)
        (server,) = subprocess.run(
            ["pgrep", "--parent", str(os.getpid()), "--full", "dagster dev"], check=True, capture_output=True, text=True
        ).stdout.split()
        os.kill(int(server), signal.SIGKILL)

    try:
        file.write_text(before + "\nraise RuntimeError('broken on purpose')\n")
        with pytest.raises(
            ToolError, match=r"(?s)Dagster ended by itself \(it was ended by SIGKILL\).*dev.log"
        ) as ended:
            dev_server.dev(workspace, port := free_port(), events=dev_server.DevEvents(ready=kill))
    finally:
        file.write_text(before)
    assert "\x1b" not in str(ended.value)
    ((failed,), loaded) = states[0].failed, states[0].loaded
    assert (failed.location, failed.error, loaded) == ("weather", "RuntimeError: broken on purpose", 2)
    assert failed.place == f"{file}:{len(before.splitlines()) + 2}"
    assert not graphql.is_up(f"http://127.0.0.1:{port}")
    left = subprocess.run(["pgrep", "--full", str(workspace / ".native/venv")], check=False, capture_output=True)
    assert left.stdout == b""


def test_a_taken_port_is_refused_at_once(root: Path) -> None:
    """FAULTS E3: before an environment is made, and before Dagster tries for minutes."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(RefusedError, match=f"The port {port} is taken"):
            dev_server.dev(root, port)
    assert not (root / ".native/venv").exists()


def test_a_storage_that_was_made_twice_is_named_with_its_cure(workspace: Path) -> None:
    """FAULTS E2: not the module is blamed for a table file with two heads, and the cure that is named works."""
    local_dagster.materialize(workspace, workspace / "projects/weather")
    home = workspace / native_environment.HOME
    file = home / "history/runs.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO alembic_version VALUES ('another')")
    with pytest.raises(ToolError, match=re.escape(f"{file} is damaged")) as refused:
        local_dagster.materialize(workspace, workspace / "projects/weather")
    subprocess.run(str(refused.value).splitlines()[-1], shell=True, check=True)  # the cure, as a person types it
    local_dagster.materialize(workspace, workspace / "projects/weather")

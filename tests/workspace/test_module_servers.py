"""One process with a server for each code location: real Dagster, whose own client asks the servers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder import module_servers
from dagster_module_builder.native import native_storage
from tests.deploy import dagster_host

pytestmark = [pytest.mark.dagster, pytest.mark.slow]

PROGRAM = Path(module_servers.__file__).parent
CLIENT = Path(__file__).with_name("server_client.py")
LIMIT_S = 120.0
#: What a module may allocate here, in MiB; Dagster and pandas need a third of it.
MEMORY = 1024

CODE = """
import os
import time

import dagster as dg

{first}


@dg.op
def wait():
    folder = os.environ["FOLDER"]
    open(f"{{folder}}/started", "w").write(str(os.getpid()))
    while not os.path.exists(f"{{folder}}/go"):
        time.sleep(0.1)


@dg.job(executor_def=dg.in_process_executor)
def {job}():
    wait()


defs = dg.Definitions(jobs=[{job}])
"""


class Served:
    """A workspace file, what serves it, and a client."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        shutil.copytree(home, self.home)
        self.served = folder / "served.yaml"
        self.environ = {
            **os.environ, "DAGSTER_HOME": str(self.home), "FOLDER": str(folder), "SERVED": str(self.served),
        }  # fmt: skip
        self.names: list[str] = []
        self.program: subprocess.Popen[bytes] | None = None
        self._client: subprocess.Popen[str] | None = None

    def write(self, name: str, job: str = "one", first: str = "") -> None:
        """Write a location's code."""
        source = self.folder / name
        source.mkdir(exist_ok=True)
        (source / f"{name}_code.py").write_text(CODE.format(job=job, first=first))

    def list_(self, *names: str) -> None:
        """List these locations in the workspace file."""
        entries = [
            {"python_module": {"module_name": f"{name}_code", "working_directory": name, "location_name": name}}
            for name in names
        ]
        self.put(yaml.safe_dump({"load_from": entries}))

    def put(self, text: str) -> None:
        new = self.folder / "workspace.new"
        new.write_text(text)
        new.replace(self.folder / "workspace.yaml")

    def start(self, *options: str) -> None:
        line = ["--workspace", "workspace.yaml", "--served", "served.yaml", "--sockets", "sockets", *options]
        with (self.folder / "log").open("ab") as log:
            self.program = subprocess.Popen(
                [dagster_host.python(), PROGRAM, *line], cwd=self.folder, env=self.environ, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def await_served(self) -> None:
        """Wait until the served file is the one for the workspace file."""
        digest = hashlib.sha256((self.folder / "workspace.yaml").read_bytes()).hexdigest()
        self.until(lambda: self.served.exists() and digest in self.served.read_text(), "the list is served")

    def until(self, true: Callable[[], Any], what: str, limit: float = LIMIT_S) -> None:
        end = time.monotonic() + limit
        while not true():
            assert self.program
            assert self.program.poll() is None, self.log
            assert time.monotonic() < end, f"{what}: not within {limit} s\n{self.log}"
            time.sleep(0.1)

    def ask(self, *request: str) -> Any:
        """Ask Dagster's client."""
        if self._client is None:
            self._client = subprocess.Popen(
                [dagster_host.python(), CLIENT], cwd=self.folder, env=self.environ, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        assert self._client.stdin
        assert self._client.stdout
        self._client.stdin.write(json.dumps(request) + "\n")
        self._client.stdin.flush()
        answer = self._client.stdout.readline()
        assert answer, self.log
        return json.loads(answer)

    def pid(self, name: str) -> int:
        """Return the process that serves a location now, by what the program says."""
        return int(re.findall(rf"module_servers: {name} is served by process (\d+),", self.log)[-1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.program
        self.program.send_signal(number)
        return self.program.wait(timeout=60)

    def close(self) -> None:
        if self._client and self._client.stdin:
            self._client.stdin.close()
            self._client.wait(timeout=60)
            if self._client.stdout:
                self._client.stdout.close()
        if self.program:
            if self.program.poll() is None:
                self.stop()
            # What watches over a run's semaphores ends a moment after it.
            end = time.monotonic() + 10
            while (left := self._left()) and time.monotonic() < end:
                time.sleep(0.1)
            assert left == []

    def _left(self) -> list[bytes]:
        assert self.program
        found = subprocess.run(
            ["pgrep", "--list-full", "--session", str(self.program.pid)], check=False, capture_output=True
        )
        return found.stdout.splitlines()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance whose tables are there: servers that start at once would make them twice."""
    folder = tmp_path_factory.mktemp("instance")
    (folder / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\n"
        "run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
    )
    environ = {**os.environ, "DAGSTER_HOME": str(folder)}
    subprocess.run([dagster_host.python(), "-c", native_storage._CREATE], env=environ, check=True)
    return folder


@pytest.fixture
def served(tmp_path: Path, home: Path) -> Iterator[Served]:
    made = Served(tmp_path, home)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def three(served: Served) -> Served:
    """Three locations that are served."""
    for name in ("sales", "shop", "weather"):
        served.write(name)
    served.list_("sales", "shop", "weather")
    served.start("--memory", str(MEMORY))
    served.await_served()
    return served


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_every_location_is_served_and_a_dead_server_is_started_again_alone(three: Served) -> None:
    assert three.ask("states") == {"sales": ["one"], "shop": ["one"], "weather": ["one"]}
    before = three.ask("servers")
    os.kill(pid := three.pid("shop"), signal.SIGKILL)
    three.until(lambda: three.pid("shop") != pid, "another server")
    after = three.ask("servers")
    assert {name for name in after if after[name] != before[name]} == {"shop"}
    assert f"shop: process {pid} ended with signal 9" in three.log


def test_a_reload_gives_the_new_code_of_one_location_alone(three: Served) -> None:
    before, pid = three.ask("servers"), three.pid("sales")
    three.write("sales", "two")
    assert three.ask("states")["sales"] == ["one"]
    assert three.ask("reload", "sales") == ["two"]
    after = three.ask("servers")
    assert {name for name in after if after[name] != before[name]} == {"sales"}
    three.until(lambda: is_gone(pid), "the old server has ended")
    assert sorted(path.name for path in (three.folder / "sockets").glob("sales*")) == ["sales.2.sock", "sales.sock"]


def test_runs_survive_a_reload_and_can_still_be_ended(three: Served) -> None:
    pid = three.pid("sales")
    run = three.ask("launch", "sales", "one")
    three.until((three.folder / "started").exists, "the run has begun")
    # A run has no limit from here.
    limits = Path(f"/proc/{(three.folder / 'started').read_text()}/limits").read_text()
    assert "Max data size             unlimited" in limits
    assert f"Max data size             {MEMORY << 20}" in Path(f"/proc/{pid}/limits").read_text()
    three.write("sales", "two")
    assert three.ask("reload", "sales") == ["two"]
    assert three.ask("status", run) == "STARTED"
    assert not is_gone(pid)
    assert three.ask("cancel", run) is True
    three.until(lambda: three.ask("status", run) == "CANCELED", "the run has ended")
    three.until(lambda: is_gone(pid), "the old server ends with its last run")
    (three.folder / "started").unlink()
    run = three.ask("launch", "sales", "two")
    three.until((three.folder / "started").exists, "the second run has begun")
    assert three.ask("reload", "sales") == ["two"]
    (three.folder / "go").touch()
    three.until(lambda: three.ask("status", run) == "SUCCESS", "the run has ended well")


def test_broken_code_is_an_error_of_its_location_and_a_reload_cures_it(three: Served) -> None:
    three.write("shop", first="raise RuntimeError('broken on purpose')")
    assert three.ask("reload", "shop") == "RuntimeError: broken on purpose"
    assert three.ask("states") == {"sales": ["one"], "shop": "RuntimeError: broken on purpose", "weather": ["one"]}
    three.write("shop", "three")
    assert three.ask("reload", "shop") == ["three"]


def test_an_import_without_end_a_leak_and_a_crash_leave_the_others_alone(served: Served) -> None:
    served.write("endless", first="time.sleep(10_000)")
    served.write("leaking", first="kept = [bytearray(1 << 20) for _ in range(4096)]")
    served.write("crashing", first="os.kill(os.getpid(), 11)")
    served.write("sales")
    served.list_("endless", "leaking", "crashing", "sales")
    served.start("--memory", str(MEMORY), "--patience", "8")
    served.await_served()
    assert served.ask("reload", "sales") == ["one"]
    assert served.ask("states")["leaking"] == "MemoryError"
    server = served.ask("servers")["sales"]
    served.until(lambda: served.log.count("crashing: process") >= 3, "it is tried again")
    served.until(lambda: "endless does not listen after 8 seconds, and is ended" in served.log, "it is ended")
    assert served.ask("servers")["sales"] == server
    # What is cured is served by itself.
    served.write("crashing", "four")
    served.until(lambda: "module_servers: crashing is served" in served.log, "it is served")
    assert served.ask("states")["crashing"] == ["four"]


def test_locations_come_and_go_with_the_workspace_file(three: Served) -> None:
    before = three.ask("servers")
    three.write("added", "four")
    three.list_("sales", "weather", "added")
    three.await_served()
    text = yaml.safe_load(three.served.read_text())["load_from"]
    assert [entry["grpc_server"]["location_name"] for entry in text] == ["sales", "weather", "added"]
    three.until(lambda: not list((three.folder / "sockets").glob("shop*")), "the server has ended")
    three.put("load_from: [")
    three.until(lambda: "workspace.yaml cannot be read" in three.log, "it is said")
    three.list_("sales", "weather", "added", "far")
    own = {"grpc_server": {"host": "far", "port": 4000, "location_name": "far"}}
    entries = yaml.safe_load((three.folder / "workspace.yaml").read_text())["load_from"]
    three.put(yaml.safe_dump({"load_from": [*entries[:3], own]}))
    three.await_served()
    assert yaml.safe_load(three.served.read_text())["load_from"][3] == own
    three.list_("sales", "weather")
    three.await_served()
    after = yaml.safe_load(three.served.read_text())["load_from"]
    assert [entry["grpc_server"]["location_name"] for entry in after] == ["sales", "weather"]
    # A client that reads the served file for the first time.
    assert "cannot be read" in three.log
    assert before.keys() == {"sales", "shop", "weather"}


def test_a_command_is_started_with_the_servers_and_ends_with_them(served: Served) -> None:
    served.write("sales")
    served.list_("sales")
    served.start("--", "sh", "-c", "test -S sockets/sales.sock && touch began && sleep 1; exit 7")
    assert served.program
    assert served.program.wait(timeout=LIMIT_S) == 7
    assert (served.folder / "began").exists()
    assert not served.served.exists()
    assert list((served.folder / "sockets").iterdir()) == []


def test_what_a_killed_program_left_is_in_nobodys_way(three: Served) -> None:
    pid = three.pid("sales")
    three.stop(signal.SIGKILL)
    limit = time.monotonic() + 60
    while not is_gone(pid):
        assert time.monotonic() < limit
        time.sleep(0.1)
    assert three.served.exists()
    three.start()
    three.until(lambda: three.pid("sales") != pid, "it is served again")
    three.await_served()
    assert three.ask("states") == {"sales": ["one"], "shop": ["one"], "weather": ["one"]}

"""The Dagster of a simulated host: a real webserver and daemon, run natively from a virtual environment."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from tests import needs
from tests.ports import free_port

REPOSITORY = Path(__file__).parents[2]
CONSTRAINTS = REPOSITORY / "cookiecutter-dagster-workspace/{{cookiecutter.name}}/services/dagster/constraints.txt"
EMPTY = "# The locations of this host.\nload_from: []\n"
#: Runs start at once, without a queue that only a daemon empties.
SETTINGS = """\
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: DefaultRunCoordinator
"""
#: Runs wait in a queue, as they do in production; the daemon looks into it often.
QUEUE = """\
telemetry:
  enabled: false
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config:
    dequeue_interval_seconds: 1
"""
#: What modules need beside Dagster itself.
PACKAGES = ("dagster", "dagster-webserver", "pandas", "pyarrow", "universal-pathlib", "sqlalchemy", "psycopg[binary]")
#: Starts the daemon, which looks at the workspace after other times than a minute, and more often at itself.
DAEMON = """\
import sys
from dagster._daemon.cli import main
from dagster._daemon import controller
controller.RELOAD_WORKSPACE_INTERVAL = float(sys.argv.pop(1))
controller.THREAD_CHECK_INTERVAL = 1
sys.argv[0] = "dagster-daemon"
main()
"""
#: A Python with dagster and dagster-webserver, instead of one that is made.
VARIABLE = "DAGSTER_TEST_PYTHON"


@functools.cache
def python() -> str:
    """Return a Python with Dagster; made once a machine and set of constraints."""
    if given := os.environ.get(VARIABLE):
        return given
    import uv  # noqa: PLC0415 - only where none is given

    constraints = CONSTRAINTS.read_bytes()
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    name = hashlib.sha256(constraints + repr((version, PACKAGES)).encode()).hexdigest()[:12]
    folder = Path.home() / ".cache/dagster-module-builder-tests" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / ".complete").exists():
            _make(uv.find_uv_bin(), folder)
    return str(folder / "bin/python")


def _make(program: str, folder: Path) -> None:
    needs.registry()
    subprocess.run([program, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True)
    # Dozens of processes start from it, none of which writes its bytecode down.
    install = [program, "pip", "install", "-q", "--compile-bytecode", "--python", folder / "bin/python"]
    subprocess.run([*install, "-c", CONSTRAINTS, *PACKAGES], check=True)
    (folder / ".complete").touch()


def lock_dagster(module: Path) -> None:
    """Have a module bring the Dagster that the tests know, in an image that one build makes for all of them."""
    lock = CONSTRAINTS.read_text()
    (version,) = [line.split("==")[1].split()[0] for line in lock.splitlines() if line.startswith("dagster==")]
    (module / "constraints.txt").write_text(lock)
    (module / "pyproject.toml").write_text(
        f'[project]\nname = "it"\nversion = "0.1.0"\ndependencies = ["dagster=={version}"]\n'
    )


@dataclass
class DagsterHost:
    """A Dagster in the folder ``base``."""

    base: Path
    port: int = field(default_factory=free_port)
    environ: dict[str, str] = field(default_factory=dict)
    namespace: str | None = None
    settings: str = SETTINGS
    #: Seconds after which its daemon reads the workspace again.
    daemon_reads: float = 60.0
    umask: int = -1
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def home(self) -> Path:
        return self.base.parent / f"{self.base.name}-dagster-home"

    def share(self, user: int) -> None:
        """Have a storage that a user may write to too; by default there is a new file for each run, which is root's."""
        self.home.mkdir(parents=True)
        events = {"module": "dagster.core.storage.event_log", "class": "ConsolidatedSqliteEventLogStorage"}
        config = {"base_dir": str(self.home / "events")}
        self.settings = SETTINGS + json.dumps({"event_log_storage": {**events, "config": config}})[1:-1] + "\n"
        (self.home / "dagster.yaml").write_text(self.settings)
        # Before any other: two first looks at a fresh store at once would collide.
        migrate = [python(), "-m", "dagster", "instance", "migrate"]
        environ = {**os.environ, "DAGSTER_HOME": str(self.home)}
        subprocess.run(migrate, check=True, capture_output=True, env=environ)
        for folder in ("events", "storage", "history/runs", "logs", "schedules"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        for path in [self.home, *self.home.rglob("*")]:
            os.chown(path, user, user)

    def start(self, *, daemon: bool = True) -> DagsterHost:
        self.base.mkdir(parents=True, exist_ok=True)
        if not (self.base / "workspace.yaml").exists():
            (self.base / "workspace.yaml").write_text(EMPTY)
        self.home.mkdir(exist_ok=True)
        (self.home / "dagster.yaml").write_text(self.settings)
        self._spawn(
            "webserver", "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(self.port), "-w", "workspace.yaml"
        )
        self._await_answer()
        if daemon:
            self._spawn("daemon", "-c", DAEMON, str(self.daemon_reads), "run", "-w", "workspace.yaml")
            self._await_daemon()
        return self

    def _await_daemon(self) -> None:
        """Wait until it has read the workspace, which it then keeps for a while."""
        query = "{ instance { daemonHealth { allDaemonStatuses { healthy required } } } }"
        for _ in range(600):
            statuses = self.ask(query)["instance"]["daemonHealth"]["allDaemonStatuses"]
            if all(one["healthy"] for one in statuses if one["required"]):
                return
            assert self.processes[-1].poll() is None, (self.home / "daemon.log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.home / "daemon.log").read_text())

    def _spawn(self, name: str, *arguments: str) -> None:
        environ = {**os.environ, **self.environ, "DAGSTER_HOME": str(self.home), "PYTHONDONTWRITEBYTECODE": "1"}
        inside = ["ip", "netns", "exec", self.namespace] if self.namespace else []
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*inside, python(), *arguments], cwd=self.base, env=environ, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.processes.append(process)

    def _await_answer(self) -> None:
        for _ in range(600):
            with contextlib.suppress(OSError):
                self.ask("{ version }")
                return
            assert self.processes[0].poll() is None, (self.home / "webserver.log").read_text()
            time.sleep(0.1)
        raise AssertionError((self.home / "webserver.log").read_text())

    def ask(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def locations(self) -> dict[str, dict[str, str]]:
        """Return each location's metadata; a location that did not load has its error under ``error``."""
        query = """{ workspaceOrError { ... on Workspace { locationEntries { name displayMetadata { key value }
            locationOrLoadError { ... on PythonError { message } } } } } }"""
        found = self.ask(query)["workspaceOrError"]["locationEntries"]
        return {
            one["name"]: {pair["key"]: pair["value"] for pair in one["displayMetadata"]}
            | ({"error": one["locationOrLoadError"]["message"]} if one["locationOrLoadError"] else {})
            for one in found
        }

    def launch(self, location: str, job: str) -> str:
        """Launch a run and return its identity."""
        mutation = """mutation($given: ExecutionParams!) { launchPipelineExecution(executionParams: $given) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
        selector = {"repositoryLocationName": location, "repositoryName": "__repository__", "pipelineName": job}
        given = {"selector": selector, "mode": "default"}
        found = self.ask(mutation, {"given": given})["launchPipelineExecution"]
        assert found["__typename"] == "LaunchRunSuccess", found
        return str(found["run"]["runId"])

    def await_run(self, run: str, status: str, limit: float = 180) -> None:
        """Wait until a run has a status."""
        query = """query($run: ID!) { runOrError(runId: $run) { ... on Run { status
            eventConnection { events { ... on MessageEvent { message } } } } } }"""
        until = time.monotonic() + limit
        while (found := self.ask(query, {"run": run})["runOrError"])["status"] != status:
            assert time.monotonic() < until, found
            time.sleep(0.2)

    def reset(self) -> None:
        """Let it know no location."""
        (self.base / "workspace.yaml").write_text(EMPTY)
        self.ask("mutation { reloadWorkspace { __typename } }")

    def stop(self) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

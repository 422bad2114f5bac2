"""A workspace with three modules in containers, driven as a person does: by the command line and Dagster's page."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from tests import json_outputs, needs
from tests.e2e.dagster_web import Dagster, await_that
from tests.e2e.engine import COMMAND_TIMEOUT_S, Engine, cache
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: The modules and their answers: each kind of database, and one with a separate image and code server.
MODULES: Mapping[str, Mapping[str, str]] = {
    "sales-report": {"database": "postgresql", "governance": "standard"},
    "shop-stock": {"database": "mysql", "governance": "enterprise", "code-server": "own"},
    "weather": {"database": "none", "governance": "standard", "executor": "multiprocess"},
}
LOCATIONS = tuple(name.replace("-", "_") for name in MODULES)

#: Services that ``up`` must bring up, beside the one-shot migration.
SERVICES = frozenset(
    {
        "dagster_postgres", "dagster_code", "dagster_webserver", "dagster_daemon",
        "sales_report_db", "shop_stock_db", "shop_stock_code",
    }
)  # fmt: skip

#: Who the containers run as: an ordinary user, as on most machines, also where the tests run as root.
OWNER = 1000

#: In the shell of a module's PostgreSQL container.
POSTGRES_CLIENT = 'PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB"'

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Service:
    """A service's container."""

    state: str
    health: str
    exit_code: int
    restarts: int

    @property
    def well(self) -> bool:
        """Whether it runs, is healthy, and never had to be started again."""
        return (self.state, self.health, self.restarts) == ("running", "healthy", 0)


@dataclass(frozen=True)
class Stack:
    """A workspace at ``root`` whose containers run in ``engine``."""

    root: Path
    engine: Engine
    images: Mapping[str, str]
    port: int

    @property
    def services(self) -> Path:
        """Return the folder of the shared files."""
        return self.root / "services" / "dagster"

    @property
    def project(self) -> str:
        """Return the Compose project's name, which its volumes begin with."""
        return self.root.name

    @property
    def dagster(self) -> Dagster:
        """Return the webserver."""
        return Dagster(f"http://127.0.0.1:{self.port}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``dagster-module-builder`` with ``arguments`` for this workspace."""
        program = needs.program("dagster-module-builder")
        done = subprocess.run(
            [program, *arguments], cwd=self.root.parent, env=self.environ, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False,
        )  # fmt: skip
        json_outputs.check(arguments, done.stdout)
        return done

    def command(self, *arguments: str) -> str:
        """Run ``dagster-module-builder``, assert that it succeeded, and return what it printed."""
        done = self.run(*arguments)
        said = f"{shlex.join(arguments)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, f"{said}\n{self._what_containers_said()}"
        return done.stdout

    def lines(self, *arguments: str) -> Iterator[str]:
        """Run ``dagster-module-builder``, give each line as it is printed, and assert that it succeeded."""
        program = needs.program("dagster-module-builder")
        with subprocess.Popen(
            [program, *arguments], cwd=self.root.parent, env=self.environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, text=True,
        ) as running:  # fmt: skip
            assert running.stdout
            yield from (line.rstrip() for line in running.stdout)
        assert running.returncode == 0, arguments

    @property
    def environ(self) -> dict[str, str]:
        """What the program is started with, so that it finds the engine and the workspace."""
        return {**os.environ, **self.engine.environ, **self.images, "DAGSTER_WORKSPACE": str(self.root)}

    def make(self) -> None:
        """Make the workspace and its modules, and hand all of it to an ordinary user."""
        self.initialize()
        for name, answers in MODULES.items():
            # Two stacks are made at once, and neither listens yet when the other looks for a free port.
            port = [] if answers["database"] == "none" else [f"--port={free_port()}"]
            self.command("new", name, *(f"--{flag}={value}" for flag, value in answers.items()), *port)
            self.command("workspace.add", name)
        self.hand_over()

    def initialize(self, *flags: str) -> None:
        """Make the workspace, without modules."""
        self.command(
            "workspace.init", f"--port={self.port}", f"--network={self.project}-net", f"--project={self.project}",
            f"--python-image={self.images['PYTHON_IMAGE']}", f"--postgres-image={self.images['POSTGRES_IMAGE']}",
            *flags,
        )  # fmt: skip

    def hand_over(self) -> None:
        """Give every file to the user that the containers run as."""
        env_file = self.services / ".env"
        text = env_file.read_text()
        for name, own in (("UID", os.getuid()), ("GID", os.getgid())):
            text = text.replace(f"WORKSPACE_{name}='{own}'", f"WORKSPACE_{name}='{OWNER}'")
        env_file.write_text(text)
        for path in [self.root, *self.root.rglob("*")]:
            os.chown(path, OWNER, OWNER, follow_symlinks=False)

    def compose(self, *arguments: str) -> str:
        """Run ``docker compose`` for this workspace and return its standard output."""
        return Engine({**self.engine.environ, **self.images}).compose(self.services, *arguments)

    def own_images(self) -> dict[str, str]:
        """Return the images that are built for this workspace, by what they are for."""
        return {"dagster": f"{self.project}-dagster", "code": f"{self.project}-shop_stock_code"}

    def leave_layers(self) -> None:
        """Remove the images, but leave one of each kind: the next workspace's are built from its layers."""
        with FileLock(cache() / "layers.lock"):
            for kind, image in self.own_images().items():
                self._leave(image, f"dagster-e2e/last:{kind}")

    def _leave(self, image: str, last: str) -> None:
        if not self.engine.has_image(image):
            return
        if self.engine.has_image(last):
            self.engine.docker("image", "rm", last)
        self.engine.docker("tag", image, last)
        self.engine.docker("image", "rm", image)

    def inside(self, service: str, *command: str) -> str:
        """Run a command in a service's container and return its standard output."""
        return self.compose("exec", "--no-TTY", service, *command)

    def shell(self, service: str, line: str) -> str:
        """Run a line of shell in a service's container and return what it printed, stripped."""
        return self.inside(service, "sh", "-c", line).strip()

    def containers(self) -> dict[str, Service]:
        """Return every service's container."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {entry["Service"]: self._service(entry) for entry in map(json.loads, lines)}

    def _service(self, entry: Mapping[str, str]) -> Service:
        restarts = self.engine.docker("inspect", "--format", "{{.RestartCount}}", entry["ID"])
        return Service(entry["State"], entry["Health"], int(entry["ExitCode"]), int(restarts))

    def started_at(self, service: str) -> str:
        """Return when a service's container was started: the same text as long as it is not restarted."""
        container = self.compose("ps", "--quiet", service).strip()
        return self.engine.docker("inspect", "--format", "{{.State.StartedAt}}", container).strip()

    def as_module(self, location: str, code: str) -> str:
        """Run Python in the container of all code as the user of a module, and return what it printed."""
        users = json.loads(self.inside("dagster_code", "cat", "/tmp/dagster_storage/.users.json"))
        user = f"--user={users[location]}:{users[location]}"
        return self.compose("exec", "--no-TTY", user, "dagster_code", "python3", "-c", code)

    def volumes(self) -> set[str]:
        """Return the names of the project's volumes."""
        named = f"label=com.docker.compose.project={self.project}"
        return set(self.engine.docker("volume", "ls", "--quiet", "--filter", named).split())

    def logs(self, *services: str) -> str:
        """Return what containers said."""
        return self.compose("logs", "--no-color", *services)

    def _what_containers_said(self) -> str:
        try:
            return f"{self.containers()}\n{self.compose('logs', '--no-color', '--tail=40')}"
        except Exception as error:  # noqa: BLE001 - only the message of a failure that is reported anyway
            return str(error)

    def table_rows(self, module: str) -> int:
        """Return how many rows the sample's table has in a module's database."""
        count = "select count(*) from penguin_summary"
        if MODULES[module]["database"] == "postgresql":
            return int(self.shell(f"{module.replace('-', '_')}_db", f'{POSTGRES_CLIENT} -Atc "{count}"'))
        client = 'MYSQL_PWD=$MYSQL_PASSWORD mariadb -h 127.0.0.1 -u "$MYSQL_USER" "$MYSQL_DATABASE"'
        return int(self.shell(f"{module.replace('-', '_')}_db", f"{client} -Ne '{count}'"))

    @contextlib.contextmanager
    def locked_table(self, module: str) -> Iterator[Callable[[], object]]:
        """Keep the sample's table of a PostgreSQL module from every other client; give what ends it before."""
        database = f"{module.replace('-', '_')}_db"
        lock = "BEGIN; LOCK TABLE penguin_summary IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)"
        # Others may hold such locks too, on tables that they are making.
        holder = "FROM pg_stat_activity NATURAL JOIN pg_locks WHERE application_name = 'holder'"

        def ask(query: str) -> str:
            return self.shell(database, f'{POSTGRES_CLIENT} -Atc "{query}"')

        def unlock() -> None:
            ask(f"SELECT pg_terminate_backend(pid) {holder}")

        # It ends well however its client ends: the server, as the container's first process, inherits it, and would
        # take an exit code for its own crash.
        self.shell(database, f'(PGAPPNAME=holder {POSTGRES_CLIENT} -c "{lock}" || true) >/dev/null 2>&1 &')
        await_that(
            lambda: ask(f"SELECT 1 {holder} AND mode = 'AccessExclusiveLock' AND granted"), 30, "the table is locked"
        )
        try:
            yield unlock
        finally:
            unlock()

    def stored_rows(self, service: str, *assets: str) -> list[int]:
        """Return how many rows of assets' stored outputs a service's container reads; each ``location/asset``."""
        read = "import sys, pyarrow.parquet as pq; print(*(pq.read_table(file).num_rows for file in sys.argv[1:]))"
        files = (f"/tmp/dagster_storage/{asset}.data" for asset in assets)
        return [*map(int, self.inside(service, "python3", "-c", read, *files).split())]

    def have_materialized(self, location: str) -> None:
        """Materialize all assets of a location, unless the last of them is stored, and in its table, already."""
        stored = self.shell("dagster_code", f"ls /tmp/dagster_storage/{location}/summary.data 2>/dev/null || true")
        module = location.replace("_", "-")
        if not stored or (MODULES[module]["database"] != "none" and not self.table_rows(module)):
            self.dagster.materialize(location)

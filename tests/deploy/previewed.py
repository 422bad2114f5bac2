"""A module in a repository whose branches get previews, on one host with a real Dagster for production."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

from tests import json_outputs, needs
from tests.deploy import dagster_host, sshd
from tests.deploy.dagster_host import CONSTRAINTS, REPOSITORY, DagsterHost
from tests.deploy.modules import make_deployment, make_module
from tests.deploy.program import PROGRAM
from tests.deploy.sshd import SshHost

TEMPLATE = REPOSITORY / "cookiecutter-dagster-module/{{cookiecutter.name}}/src/{{cookiecutter.__package}}"
#: An upstream asset, and one that is made of it; both are stored by the template's IO manager.
DEFINITIONS = """\
import os

import dagster as dg

from .storage import ModuleStorage
from .value import FACTOR


@dg.asset(key_prefix="sales_report")
def number(context) -> int:
    context.log.info(os.environ.get("SALES_REPORT_TOKEN", "no token"))
    return 21


@dg.asset(key_prefix="sales_report", ins={"number": dg.AssetIn(key_prefix="sales_report")})
def times(number: int) -> int:
    return number * FACTOR


defs = dg.Definitions(
    assets=[number, times],
    resources={"io_manager": ModuleStorage()},
    jobs=[
        dg.define_asset_job("whole"),
        dg.define_asset_job("only_times", selection=dg.AssetSelection.assets(["sales_report", "times"])),
    ],
    schedules=[
        dg.ScheduleDefinition(
            name="often", job_name="whole", cron_schedule="* * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
        )
    ],
)
"""
PACKAGES = ("dagster", "pandas", "pyarrow", "universal-pathlib")


def tree_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Previewed:
    """A workspace whose module has a deployment ``yoda`` with previews.

    Attributes:
        root: The workspace, which is the repository.
        host: The host of production and of the previews.
        production: Production's Dagster.
    """

    root: Path
    host: SshHost
    production: DagsterHost
    module: Path
    origin: Path

    @property
    def previews(self) -> Path:
        return self.host.folder / "previews-of-branches/previews"

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(["git", "-C", self.root, *who, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def run(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        surroundings = {**os.environ, "DAGSTER_WORKSPACE": str(self.root), "COLUMNS": "200", **environ}
        done = subprocess.run(
            [PROGRAM, *arguments], env=surroundings, cwd=self.root, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=900, check=False,
        )  # fmt: skip
        json_outputs.check(arguments, done.stdout)
        return done

    def preview(self, *arguments: str, **environ: str) -> list[dict[str, Any]]:
        """Run ``deploy.preview`` with ``--json``; return its document."""
        done = self.run("deploy.preview", *arguments, "--json", **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def branch(self, name: str, factor: int, *, push: bool = True) -> None:
        """Make a branch from main that changes ``times``, and go back to main."""
        self.git("switch", "-q", "-c", name)
        value = self.module / "src/sales_report_dagster/value.py"
        value.write_text(f"FACTOR = {factor}\n")
        self.git("commit", "-q", "-a", "-m", f"Times {factor}")
        if push:
            self.git("push", "-q", "origin", name)
        self.git("switch", "-q", "main")

    def dagster_of(self, preview: dict[str, Any]) -> DagsterHost:
        """Return a client of a preview's Dagster."""
        return DagsterHost(self.previews / preview["name"], preview["port"])

    def stored(self, folder: Path) -> list[str]:
        return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.data"))

    def processes(self) -> list[str]:
        """Return what runs from the folder of the previews."""
        said = subprocess.run(["ps", "-A", "-ww", "-o", "stat=,args="], check=True, capture_output=True, text=True)
        lines = said.stdout.splitlines()
        return [line for line in lines if str(self.previews) in line and not line.startswith("Z")]

    def end(self) -> None:
        """End the previews' Dagsters, whatever a test left."""
        for file in self.previews.glob("*/dagster-service/*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(json.loads(file.read_text())["process"], signal.SIGKILL)


def make_previewed_module(root: Path) -> Path:
    """Make the module, with the template's own storage and what that needs."""
    module = make_module(root)
    package = module / "src/sales_report_dagster"
    (package / "definitions.py").write_text(DEFINITIONS)
    (package / "value.py").write_text("FACTOR = 2\n")
    shutil.copy(TEMPLATE / "storage.py", package)
    shutil.copytree(TEMPLATE / "stored", package / "stored", ignore=shutil.ignore_patterns("__pycache__"))
    lock = CONSTRAINTS.read_text()
    versions = dict(re.findall(r"(?m)^([a-z-]+)==([^\s;\\]+)", lock))
    wanted = [f"{name}=={versions[name]}" if name in versions else name for name in PACKAGES]
    (module / "pyproject.toml").write_text(
        f'[project]\nname = "sales-report-dagster"\nversion = "0.1.0"\ndependencies = {json.dumps(wanted)}\n'
    )
    (module / "constraints.txt").write_text(lock)
    return module


def from_registry() -> dict[str, str]:
    """Return where uv finds packages, as this machine says, and its cache."""
    command = [uv.find_uv_bin(), "cache", "dir"]
    cache = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    named = re.compile("UV_|PIP_|SSL_|https?_proxy$", re.IGNORECASE)
    return {**{key: value for key, value in os.environ.items() if named.match(key)}, "UV_CACHE_DIR": cache}


@contextlib.contextmanager
def previewed(folder: Path) -> Iterator[Previewed]:
    """Yield the workspace; production's Dagster runs, with nothing deployed yet."""
    needs.programs("git", "rsync")
    needs.registry()
    environ = {**from_registry(), "PATH": f"{Path(uv.find_uv_bin()).parent}:/usr/bin:/bin"}
    root = folder / "workspace"
    module = make_previewed_module(root)
    with sshd.hosts(folder / "hosts", environ=environ) as (host,):
        production = DagsterHost(host.base, environ={"DAGSTER_STORAGE_DIR": str(host.base / "storage")})
        # Below those from which connections begin, whose number grows while the tests run.
        port = 20_000 + os.getpid() % 50 * 200
        section = {
            "host": f"{host.address}:{host.port}", "base_path": "~/previews-of-branches",
            "storage": str(host.base / "storage"), "ports": f"{port}-{port + 199}",
            "python": dagster_host.python(),
        }  # fmt: skip
        deployment = make_deployment(module, [host], [production.url], dagster_host.python(), preview=section)
        with (deployment / ".env.deploy").open("a") as settings:
            settings.write("PREVIEW_SALES_REPORT_TOKEN='of preview {preview}'\n")
        (root / ".gitignore").write_text(".env.deploy\n__pycache__\n")
        made = Previewed(root, host, production, module, folder / "origin.git")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", made.origin], check=True)
        made.git("init", "-q", "-b", "main")
        made.git("add", "-A")
        made.git("commit", "-q", "-m", "First")
        made.git("remote", "add", "origin", str(made.origin))
        made.git("push", "-q", "-u", "origin", "main")
        (host.base / "modules").mkdir(parents=True)
        try:
            production.start(daemon=False)
            yield made
        finally:
            made.end()
            production.stop()

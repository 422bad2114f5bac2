"""Secrets planted wherever a person can put one: no command prints one, or writes one where others can read it."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.commands import namespace
from dagster_module_builder.shared_files.formats import env_value
from tests.cli.quick_program import QuickProgram
from tests.deploy.modules import make_deployment
from tests.deploy.sites import Site, quick_sites

#: What no output may have, in any spelling; the second one begins the Base64 of the first.
NEEDLES = re.compile("canary7|Q2FuYXJ5N", re.IGNORECASE)
PEM = "-----BEGIN PRIVATE KEY-----\nCanary7MIIEvQ\nQ2FuYXJ5N2tleQ==\n-----END PRIVATE KEY-----\n"
SECRETS = {
    "DATABASE_URL": "postgresql://app:Canary7url@db/x",
    "CERTIFICATE": PEM,
    "ACCOUNT": json.dumps({"type": "service_account", "private_key": PEM}),
    "PASSPHRASE": "canary7 horse staple",
    "MYSQL_PWD": "Canary7pwd",
    "HOOK": "https://hooks.example/in?token=Canary7query",
    "BLOB": "Q2FuYXJ5N2Jhc2U2NA==",
    "ORDINARY": "canary7",
}
COMPOSE = """\
  {service}:
    image: "redis:7"
    environment:
      PASSPHRASE: Canary7compose
      DATABASE_URL: postgresql://app:Canary7compose@db/x
      CERTIFICATE: |
        -----BEGIN PRIVATE KEY-----
        Canary7block
    command: ["redis-server", "--requirepass", "Canary7command", "--token=Canary7option"]
    networks: [workspace-net]
"""
SNIPPET = """\
ARG TOKEN=Canary7arg
ENV PASSPHRASE=Canary7env
RUN pip install --index-url https://u:Canary7index@pypi.example/simple acme # canary7
"""
CODE = '\n# Canary7comment\nPASSWORD = "Canary7code"\n'
DEFINITIONS = "from .value import VALUE\n\ndefs = VALUE\n"
FLAGS = "--client Yoda --hosts yoda.example --strategy rsync"
PIPELINE = (
    "--client Luke --hosts luke.example --strategy ci-cd --set carries_out=rsync --set platform=github "
    "--set tool=dagster-module-builder==0.1.0"
)

#: What is typed for every task, in this order; ``+`` says that it has to succeed, ``-`` that it has to be refused.
TYPED = (
    "+ workspace.init", "+ workspace.adopt --dry-run",
    "+ workspace.add sales-report --dry-run --no-check", "+ workspace.add sales-report --no-check",
    "+ workspace.list --json", "+ workspace.graph", "+ workspace.graph --format svg", "+ workspace.graph --json",
    "? workspace.validate", "? workspace.validate --json --no-check",
    "+ workspace.sync --no-check", "+ workspace.sync --repair --yes --no-check", "- new sales-report --no-input",
    "+ new stock --no-input --workspace no", "- workspace.materialize nosuch", "- workspace.dev --port 70000",
    "- workspace.up", "- workspace.down", "- workspace.logs", "+ upgrade sales-report --dry-run",
    "? audit sales-report",
    "? audit sales-report --json",
    f"+ configure-deployment sales-report --deployment leia {FLAGS}",
    f"+ configure-deployment sales-report --deployment luke {PIPELINE}", "+ deploy.pipeline luke",
    "+ workspace.remove sales-report --dry-run", "+ workspace.remove sales-report", "+ workspace.backups",
    "- care.prune --yes",
    "? workspace.restore --dry-run", "+ deploy.list --json", "? deploy.check yoda", "+ deploy.setup yoda",
    "? deploy.trust yoda",
    "+ deploy yoda --allow-dirty --dry-run", "+ deploy yoda --allow-dirty --json --no-settle",
    "COMMIT", "+ deploy obi --allow-dirty --json --no-settle",
    "+ deploy.env yoda --dry-run", "+ deploy.rollback yoda --dry-run --json",
    "+ deploy.remove yoda --module sales-report --dry-run --delete-data",
    "+ deploy.env yoda", "+ deploy.status yoda --json", "+ deploy.releases yoda", "- deploy.pipeline yoda",
    "BREAK", "- deploy yoda --allow-dirty --json", "+ deploy.rollback yoda", "+ deploy.log yoda --json",
    "+ deploy.logs yoda", "+ deploy.runs yoda --json", "+ deploy.exec yoda --json -- env", "- deploy.shell yoda",
    "- deploy.console yoda", "- deploy.promote yoda nosuch", "- deploy.preview nosuch --name yoda",
    "+ deploy.unlock yoda --yes", "+ completion --shell bash", "? doctor --json", "+ version",
    "+ skill",
    "+ deploy.remove yoda --module sales-report --yes",
    "LINES", "- workspace.add sales-report", "- deploy yoda --allow-dirty", "? audit sales-report",
)  # fmt: skip
#: It is what ``new``, ``workspace.add`` and ``workspace.dev`` do.
LEFT_OUT = {"demo"}


@dataclass
class Said:
    """What was typed, and all that was printed and written."""

    site: Site
    program: QuickProgram
    printed: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    planted: set[Path] = field(default_factory=set)

    def type(self, line: str) -> None:
        environ = {
            **os.environ,
            "DAGSTER_WORKSPACE": str(self.site.root),
            "DEPLOY_REGISTRY_USER": "it",
            "DEPLOY_REGISTRY_PASSWORD": "Canary7registry",
            "COLUMNS": "200",
            # No engine: what asks for one is refused.
            "DOCKER_HOST": f"unix://{self.site.root}/no.sock",
        }
        done = self.program.run(*line.split()[1:], environ=environ, folder=self.site.root)
        self.printed[line] = done.text
        self.codes[line] = done.code

    def plant(self, path: Path, text: str, mode: int = 0o644) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        self.planted.add(path)


def settings(prefix: str) -> str:
    return "".join(f"{prefix}{name}={env_value.written(value)}\n" for name, value in SECRETS.items())


def plant_everything(said: Said) -> None:
    site, services = said.site, said.site.root / "services/dagster"
    local = site.module / "workspace/local"
    said.plant(services / ".env", (services / ".env").read_text() + f"# canary7\n{settings('OWN_')}", 0o600)
    compose = services / "docker-compose.yml"
    said.plant(compose, compose.read_text().replace("services:\n", "services:\n" + COMPOSE.format(service="own"), 1))
    said.plant(local / ".env", settings("SALES_REPORT_"), 0o600)
    said.plant(local / "docker-compose.yml", "services:\n" + COMPOSE.format(service="sales_report_cache"))
    said.plant(local / "dockerfile.snippet", SNIPPET)
    package = "sales_report_dagster.definitions"
    said.plant(
        local / "workspace.yaml",
        f"load_from:\n  - python_package:\n      package_name: {package}\n      location_name: sales_report\n",
    )
    said.plant(site.module / "src/sales_report_dagster/value.py", f"VALUE = 1\n{CODE}")
    key = site.module / "deploy/yoda/secrets/key.pem"
    said.plant(key, PEM, 0o600)
    said.plant(site.module / ".env.example", "SALES_REPORT_KEY=''\n")
    from_file = "SALES_REPORT_KEY_FILE='secrets/key.pem'\n"
    said.plant(site.module / "deploy/yoda/.env.deploy", settings("SALES_REPORT_") + from_file, 0o600)
    git = ["git", "-C", str(site.module)]
    (site.module / ".gitignore").write_text(".env\n.env.*\n!.env.example\n!.env.deploy.example\nsecrets/\n")
    subprocess.run([*git, "init", "--quiet"], check=True)
    remote = "https://me:Canary7remote@git.example/x.git"
    subprocess.run([*git, "remote", "add", "origin", remote], check=True)


def commit_for_git(said: Said) -> None:
    """Have a deployment of the same module that takes a commit, whose remote has a password in its address."""
    site = said.site
    data = yaml.safe_load((site.module / "deploy/yoda/deployment.yaml").read_text())
    python = data["environment"]["python"]
    folder = make_deployment(site.module, [site.host], [site.dagster.url], python, name="obi", strategy="git")
    said.plant(folder / ".env.deploy", settings("SALES_REPORT_"), 0o600)
    git = ["git", "-C", str(site.module), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "--message", "all"], check=True)


def break_code(said: Said) -> None:
    """Have the definitions fail with a message that quotes what the process sees."""
    path = said.site.module / "src/sales_report_dagster/definitions.py"
    said.plant(
        path, "import os\n\nraise ValueError(sorted(os.environ.items()), os.environ['SALES_REPORT_DATABASE_URL'])\n"
    )


def break_lines(said: Said) -> None:
    """Have lines that are refused."""
    for path in (said.site.module / "workspace/local/.env", said.site.module / "deploy/yoda/.env.deploy"):
        path.write_text("SALES_REPORT_KEY=canary7 $x\nCanary7 line\n")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Said]:
    for sites in quick_sites(tmp_path_factory.mktemp("canaries"), 1):
        program = QuickProgram()
        told = Said(sites.sites[0], program)
        for line in TYPED:
            if line == "BREAK":
                break_code(told)
            elif line == "LINES":
                break_lines(told)
            elif line == "COMMIT":
                commit_for_git(told)
            else:
                told.type(line)
            if line == "+ workspace.init":
                plant_everything(told)
        program.close()
        yield told


def test_messages_hide_what_was_read_and_what_looks_like_credentials() -> None:
    """FAULTS A2: other programs quote what they like; a fresh process knows what it read."""
    program = (
        "from dagster_module_builder.disclosure.messages import harmless_text as say\n"
        "from dagster_module_builder.shared_files.formats import env_file\n"
        "env_file.values(b\"A_TOKEN='tops3cret'\\nB='hunter2'\\nMODE='fast'\\nPORT=5432\\n\")\n"
        "print(say('tops3cret (hunter2) fast 5432 https://u:pw@x/?token=abc&page=2 hunter22'))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "… (…) fast 5432 https://…@x/?token=…&page=2 hunter22\n"


def test_every_task_is_typed_or_left_out_on_purpose() -> None:
    typed = {words[1] for line in TYPED if len(words := line.split()) > 1}
    tasks = {"deploy" if name == "deploy.deploy" else name for name in namespace.task_names}
    assert tasks - typed == LEFT_OUT


@pytest.mark.parametrize("line", [line for line in TYPED if " " in line])
def test_no_command_prints_a_secret(said: Said, line: str) -> None:
    """FAULTS A1, A2: diffs, plans, errors, logs, JSON and progress."""
    printed = said.printed[line]
    assert "Traceback" not in printed.partition("do not load")[0]
    assert (said.codes[line] == 0) == line.startswith("+") or line.startswith("?"), printed
    assert not NEEDLES.search(printed), printed


def test_nothing_that_others_can_read_holds_a_secret(said: Said) -> None:
    """FAULTS A1: what is written is 0600, or has no secret but those that a person put into that very file."""
    root, base = said.site.root, said.site.host.base
    found = [path for place in (root, base) for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    open_to_others = [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077 and path not in said.planted]
    # Git's own configuration has the remote's address; releases and backups have a person's files as they are.
    leaks = [
        path
        for path in open_to_others
        if NEEDLES.search(path.read_bytes().decode("utf-8", "replace")) and path != said.site.module / ".git/config"
    ]
    own_code = ("value.py", "definitions.py", "docker-compose.yml", "Dockerfile", "dockerfile.snippet")
    assert [path for path in leaks if not path.name.endswith(own_code)] == []


def test_git_would_track_no_secret(said: Said) -> None:
    """FAULTS A1: everything that ``git add`` takes, but for what a person wrote."""
    listed = ["git", "-C", str(said.site.module), "ls-files", "--others", "--cached", "--exclude-standard", "-z"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    paths = [said.site.module / name for name in names if name and said.site.module / name not in said.planted]
    assert any(path.name == ".env.deploy.example" for path in paths)
    assert [path for path in paths if NEEDLES.search(path.read_bytes().decode("utf-8", "replace"))] == []

"""Wishes of the skill and a module's checklist, followed as they stand there, with what a person would add."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from tests.cli.skill_page import SKILL, WISHES
from tests.deploy import sshd
from tests.deploy.dagster_host import DagsterHost
from tests.deploy.module_data import configure
from tests.deploy.modules import set_value, simplify
from tests.deploy.program import PROGRAM
from tests.deploy.sites import Site
from tests.deploy.sshd import SshHost
from tests.deploy.staging import git, named_staging, published
from tests.documents import Block, read
from tests.ports import free_port
from tests.template import environment
from tests.template.database_servers import running

NIGHTLY, WRONG, AWAY = WISHES
MODULE = "nightly-pdfs"
DATABASE = {"NAME": "documents_of_yoda", "USER": "acme", "PASSWORD": "the client's own"}
PDFS = {"a b.pdf": b"%PDF-1.4 one\x00\xff", "two.pdf": b"%PDF-1.4 two"}


def typed(root: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Type a line in the workspace's folder."""
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(root), "PATH": path, "COLUMNS": "200", "UV_OFFLINE": "1"}
    return subprocess.run(
        ["bash", "-c", line], cwd=root, env=environ, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def follow(
    root: Path, block: Block, replaced: Mapping[str, str] | None = None, finding: tuple[str, ...] = ()
) -> list[str]:
    """Type every line of a block, with these pieces of text replaced; return what each printed.

    Args:
        root: The workspace.
        block: The lines.
        replaced: What stands for texts of the skill.
        finding: The tasks that find something to be wrong, and end with 1.
    """
    printed = []
    for line in block.commands():
        for old, new in (replaced or {}).items():
            line = line.replace(old, new)  # noqa: PLW2901 - it is the line that is typed
        done = typed(root, line)
        wanted = any(task in line for task in finding)
        assert done.returncode == wanted, f"{line}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    return printed


@pytest.fixture
def files(tmp_path: Path) -> Iterator[SshHost]:
    """The client's SFTP server, with PDFs in the home of who connects."""
    (folder := tmp_path / "sftp").mkdir()
    key = sshd.make_key(folder / "client_key")
    address = "127.0.0.9"
    host = SshHost(folder, address, free_port(address), key, settings={"Subsystem": "sftp internal-sftp"})
    (folder / "out").mkdir()
    for name, content in PDFS.items():
        (folder / "out" / name).write_bytes(content)
    (folder / "out/notes.txt").write_text("none of them")
    (folder / "known_hosts").write_text("")
    host.start()
    (folder / "known_hosts").write_text(host.known_hosts_line)
    yield host
    host.stop()


def write_code(module: Path, assets: Block, schedule: Block) -> None:
    """Put the skill's examples where it says."""
    (package,) = (module / "src").iterdir()
    (package / "assets.py").write_text(assets.text)
    path = package / "schedules.py"
    before = path.read_text()
    text = re.sub(r"(?ms)^daily = .*?^\)\n", f"{schedule.text}\n", before)
    assert text != before
    path.write_text(text.replace("import dagster", "import os\n\nimport dagster", 1))


def fill_in(module: Path, port: int, files: SshHost) -> None:
    """Type what only the person knows into ``.env.deploy``."""
    prefix = module.name.replace("-", "_").upper()
    known = {f"{prefix}_DB_{name}": value for name, value in DATABASE.items()}
    known |= {
        f"{prefix}_DB_HOST": "127.0.0.1", f"{prefix}_DB_PORT": str(port), f"{prefix}_SCHEDULE": "RUNNING",
        f"{prefix}_SFTP_URL": f"sftp://{sshd.user()}@{files.address}:{files.port}/{files.folder}/out",
        f"{prefix}_SFTP_KEY": str(files.client_key), f"{prefix}_SFTP_KNOWN_HOSTS": f"{files.folder}/known_hosts",
    }  # fmt: skip
    quoted = {name: value.replace("'", "\\'") for name, value in known.items()}
    (module / "deploy/yoda/.env.deploy").write_text("".join(f"{name}='{value}'\n" for name, value in quoted.items()))


def schedules(dagster: DagsterHost) -> dict[str, str]:
    """Return the status of each schedule that a host's Dagster has."""
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes { schedules { name
        scheduleState { status } } } } } }"""
    nodes = dagster.ask(query)["repositoriesOrError"]["nodes"]
    return {one["name"]: one["scheduleState"]["status"] for node in nodes for one in node["schedules"]}


ROWS = """
import os, psycopg
with psycopg.connect(os.environ["DATABASE"]) as connection:
    for name, content in connection.execute("SELECT name, content FROM documents"):
        print(name, content.hex(), sep="\\t")
"""


def rows(python: str, port: int) -> dict[str, bytes]:
    """Return the table of the client's database, as the host's Python reads it."""
    quoted = {"host": "127.0.0.1", "port": port, "dbname": DATABASE["NAME"], "user": DATABASE["USER"]}
    address = " ".join(f"{name}={value}" for name, value in quoted.items())
    environ = {"DATABASE": address, "PGPASSWORD": DATABASE["PASSWORD"]}
    said = subprocess.run([python, "-c", ROWS], env=environ, check=True, capture_output=True, text=True).stdout
    return {name: bytes.fromhex(content) for name, content in (line.split("\t") for line in said.splitlines())}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[int]:
    """The client's PostgreSQL, with a database for the documents; its port."""
    (schema := tmp_path / "schema.sql").write_text("")
    with running("postgresql", port := free_port(), DATABASE, schema):
        yield port


@pytest.mark.slow
def test_pdfs_every_night(site: Site, files: SshHost, database: int, dagster_python: str, tmp_path: Path) -> None:
    """FAULTS P14: the first wish, proven by a run."""
    dagster = site.dagster
    assert isinstance(dagster, DagsterHost)
    shutil.rmtree(site.root / "projects")
    assert typed(site.root, "dagster-module-builder workspace.init").returncode == 0
    module = site.root / "projects" / MODULE
    section = SKILL.section(NIGHTLY)
    make, configure, trust, carry_out = [block for block in section.blocks() if block.language == "console"]
    follow(site.root, make)
    write_code(module, *(block for block in section.blocks() if block.language == "python"))
    (variables,) = [block.text for block in section.blocks() if block.language == "dotenv"]
    for path in (module / ".env.example", module / "workspace/local/.env"):
        path.write_text(f"{path.read_text()}{variables}\n")
    published(module, tmp_path / "remote.git")
    follow(site.root, configure, at_yoda(site, dagster_python))
    fill_in(module, database, files)
    # Of a stranger's key nothing is pinned; the fingerprint is what the host's administrator says.
    key = subprocess.run(["ssh-keygen", "-lf", site.host.folder / "host_key.pub"], check=True, capture_output=True)
    follow(site.root, trust, {"SHA256:…": key.stdout.decode().split()[1]})
    for command in (["add", "."], ["commit", "-qm", "yoda"], ["push", "-q"]):
        git(module, *command)
    # The host here has no daemon, which is all that is found to be wrong, and that would have to know the module.
    no_daemon = {"deploy yoda": "deploy yoda --no-settle"}
    _, check, *_, status = follow(site.root, carry_out, no_daemon, finding=("deploy.check",))
    assert re.findall(r"\d+ problems?|daemon is not running", check) == ["1 problem", "daemon is not running"]
    (on_host,) = json.loads(status)
    assert [one["location"] for one in on_host["modules"]] == ["loaded"]
    assert schedules(dagster) == {"nightly_pdfs_daily": "RUNNING"}
    assert "`nightly_pdfs_refresh`" in section.text
    dagster.await_run(dagster.launch("nightly_pdfs", "nightly_pdfs_refresh"), "SUCCESS")
    assert rows(dagster_python, database) == PDFS


def at_yoda(site: Site, python: str) -> dict[str, str]:
    """Return what stands for yoda here, in place of what the skill's lines have."""
    assert isinstance(site.dagster, DagsterHost)
    own = {"identity_file": site.host.client_key, "dagster_url": site.dagster.url, "environment": "host",
           "python": python}  # fmt: skip
    more = " ".join(f"--set {name}={value}" for name, value in own.items())
    return {
        "yoda.example.org": f"{site.host.address}:{site.host.port}", "/srv/dagster": "'~/srv'",
        "--user dagster": f"--user {sshd.user()}", "--no-input": f"{more} --no-input",
    }  # fmt: skip


def test_away_with_it_and_all_its_data(quick: Site, tmp_path: Path) -> None:
    """FAULTS P14: the third wish: each of its steps leaves what comes later as it is."""
    look, hosts, workspace, data, folder = SKILL.section(AWAY).shell()
    there = configure(quick)
    published(quick.module, tmp_path / "remote.git")
    for line in ("workspace.init", "workspace.add sales-report --no-check"):
        assert typed(quick.root, f"dagster-module-builder {line}").returncode == 0
    quick.deploy()
    shared = quick.root / "services/dagster/workspace.yaml"
    named = {MODULE: quick.module.name}
    follow(quick.root, look, named)
    follow(quick.root, hosts, named)
    assert (quick.dagster.locations(), quick.there.exists(), (there / "sales_report").exists()) == ({}, False, False)
    assert list((quick.host.base / "dumps").iterdir())
    assert "sales_report" in shared.read_text()
    follow(quick.root, workspace, named)
    assert "sales_report" not in shared.read_text()
    assert (quick.module.exists(), (there / "other_module").exists()) == (True, True)
    # It stored nothing here, and that is said.
    follow(quick.root, data, named, finding=("--delete-data",))
    follow(quick.root, folder, named)
    assert not quick.module.exists()


def test_something_is_wrong_with_the_deployment(quick: Site) -> None:
    """FAULTS P14: the second wish, where one deployment hangs and the release before it is bad."""
    look, unlock, back = SKILL.section(WRONG).shell()
    quick.deploy()
    good = quick.running()
    set_value(quick.module, 2)
    quick.deploy()
    reached, go_on = threading.Event(), threading.Event()

    def hang(_: str, step: str) -> None:
        if step == "verified":
            reached.set()
            go_on.wait(60)

    def begin() -> None:
        with pytest.raises(BuilderError):
            deploy(find(quick.root, "yoda"), Options(allow_dirty=True, settle=False), hang)

    set_value(quick.module, 3)
    hanging = threading.Thread(target=begin)
    hanging.start()
    try:
        assert reached.wait(60)
        _, status, log, releases = follow(quick.root, look, finding=("deploy.check",))
        assert json.loads(status)[0]["lock"]
        assert "not ended" in log
        assert good in releases
        follow(quick.root, unlock)
    finally:
        go_on.set()
        hanging.join(60)
    _, status = follow(quick.root, back)
    assert quick.running() == good
    (on_host,) = json.loads(status)
    assert (on_host["lock"], on_host["modules"][0]["location"]) == (None, "loaded")


def test_the_checklist_before_a_deployment(quick: Site, tmp_path: Path) -> None:
    """FAULTS P14: every command of a generated module's CHECKLIST.md, in its order, around its time on staging."""
    named_staging(quick)
    quick.module.rename(tmp_path / "before")
    new = "new sales-report --governance quick --starter empty --workspace no --deployment no --no-input"
    for line in ("workspace.init", new):
        assert typed(quick.root, f"dagster-module-builder {line}").returncode == 0
    (tmp_path / "before/deploy/staging").rename(quick.module / "deploy/staging")
    page = read(quick.module / "deploy/CHECKLIST.md")
    audit, check, back = [code for code in page.inline() if code.startswith("dagster-module-builder ")]
    for path in quick.module.glob("tests/test_[as]*.py"):
        path.unlink()  # The tests of definitions are enough here.
    # In an environment that is there.
    audited = typed(quick.root, f"{audit} --python {environment.made().python}")
    assert audited.returncode == 0, audited.stdout
    assert "PASS: Its tests pass" in audited.stdout, audited.stdout
    # The host's Dagster is a stand-in.
    (quick.module / "src/sales_report_dagster/value.py").write_text("VALUE = 1\n")
    published(simplify(quick.module), tmp_path / "remote.git")
    assert typed(quick.root, "dagster-module-builder deploy staging --no-settle").returncode == 0
    first = quick.running()
    set_value(quick.module, 2)
    git(quick.module, "commit", "-qam", "second")
    git(quick.module, "push", "-q")
    assert typed(quick.root, "dagster-module-builder deploy staging --no-settle").returncode == 0
    assert quick.running() != first
    for line in (check.replace("NAME", "staging"), back):
        done = typed(quick.root, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert quick.running() == first

"""A host whose Dagster runs in containers: put there by deploy.setup, deployed to, rolled back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.check import check
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.removal import remove
from dagster_module_builder.deploy.rollback import roll_back
from dagster_module_builder.deploy.setup import set_up
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE
from tests.deploy import sshd, their_stack
from tests.deploy.compose_host import ComposeHost, ComposeSite, change, host_with_engine, make_site
from tests.deploy.guides import NAME, follow
from tests.deploy.inside import Inside
from tests.deploy.modules import require_dagster, set_value
from tests.deploy.program import run
from tests.e2e.dagster_web import await_that
from tests.e2e.engine import Engine
from tests.ports import free_port

pytestmark = pytest.mark.docker
RESTART = "docker compose --project-directory services/dagster restart --timeout 2 dagster_daemon"
DATABASE = """\
services:
  sales_report_db:
    image: ${POSTGRES_IMAGE:-postgres:16}
    environment:
      POSTGRES_USER: sales
      POSTGRES_PASSWORD: ${SALES_REPORT_DB_PASSWORD}
      POSTGRES_DB: sales
      PGPORT: ${SALES_REPORT_DB_PORT}
    volumes:
      - sales_report_db_data:/var/lib/postgresql/data
    healthcheck:
      test: ["CMD-SHELL", "pg_isready --quiet --host 127.0.0.1 --username sales --dbname sales"]
      interval: 1s
      retries: 60
volumes:
  sales_report_db_data:
"""


@pytest.fixture(scope="module")
def yard(
    tmp_path_factory: pytest.TempPathFactory,
    engine: Engine,
    image_names: dict[str, str],
) -> Iterator[ComposeHost]:
    """Give a host on which 'deploy.setup --start' has put our Dagster, with a container for each run."""
    folder, port = tmp_path_factory.mktemp("compose"), free_port()
    settings = {
        "folder": "services/dagster", "base_inside": "/workspace", "run_launcher": "docker", "restart_daemon": RESTART,
        "python_image": image_names["PYTHON_IMAGE"], "postgres_image": image_names["POSTGRES_IMAGE"],
    }  # fmt: skip
    with host_with_engine(folder / "hosts", engine) as host:
        there = ComposeHost(host, engine, f"http://127.0.0.1:{port}", settings, f"yoda-{port}-net")
        site = make_site(folder / "workspace", there, name=f"yoda-{port}")
        try:
            (found,) = set_up(site.found, start=True)
            assert found.get("made"), found
            assert set_up(site.found)[0]["files"] == []
            yield there
        finally:
            if there.folder.is_dir():
                there.compose("down", "--volumes", "--remove-orphans", "--timeout", "2")


@pytest.fixture
def site(tmp_path: Path, yard: ComposeHost) -> Iterator[ComposeSite]:
    found = make_site(tmp_path / "workspace", yard)
    yield found
    if (found.modules / "sales-report").exists():
        remove(found.found)


@pytest.fixture(scope="module")
def mysql(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the fragments of a module with MySQL, as the template makes them."""
    made = render(MODULE_TEMPLATE, {"name": "sales-report", "database": "mysql"}, tmp_path_factory.mktemp("module"))
    return made / "workspace/local"


def shared_files(site: ComposeSite) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in site.there.folder.iterdir() if path.is_file()}


def test_from_setup_to_removal(site: ComposeSite, mysql: Path, image_names: dict[str, str]) -> None:
    before = shared_files(site)
    outcome = site.outcome(settle=True)
    first = outcome.releases["sales-report"]
    assert site.running() == first
    assert "Dagster's daemon was restarted." in outcome.notes
    assert check(site.found)[0]["problems"] == []
    # Queued by the webserver, and taken from the queue by the daemon, which knows the module from the first moment.
    inside = inside_of(site, first)
    with inside.followed() as await_line:
        made = site.there.dagster.materialize("sales_report")
        await_line(f"run {made[:8]} WARNING")
    assert_is_apart(site, made)
    inside.check_logs(made, "dagster")
    inside.check_sessions(made)

    (path,) = site.module.glob("src/*/definitions.py")
    whole = path.read_text()
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(BuilderError, match="nothing_of_that_name"):
        site.deploy()
    assert site.running() == first
    path.write_text(whole)

    give_mysql(site, mysql, image_names["MYSQL_IMAGE"])
    second = site.deploy()
    assert "sales_report_db" in depends_on(site, "dagster_daemon")
    ask_mysql(site, "insert into orders values (7)")

    (outcome,) = roll_back(site.found)
    assert site.running() == first
    assert "Removed sales_report_db" in " ".join(outcome.notes)
    assert site.there.containers("sales_report_db") == []
    assert "sales_report_db" not in depends_on(site, "dagster_daemon")
    # Forth again: the volume had stayed.
    roll_back(site.found)
    assert site.running() == second
    assert ask_mysql(site, "select number from orders") == "7"

    (outcome,) = remove(site.found, delete_data=True)
    assert "sales_report_db_data" in " ".join(outcome.notes)
    (dump,) = (site.modules.parent / "dumps").iterdir()
    assert "INSERT INTO `orders` VALUES" in (dump / "database.sql").read_text()
    assert (dump / "storage.tar.gz").stat().st_size
    assert shared_files(site) == before
    assert not list(site.modules.glob("sales*"))
    assert (site.there.folder / ".env").stat().st_mode & 0o077 == 0


def test_the_first_release_by_hand(site: ComposeSite) -> None:
    """As DEPLOYMENT.md says it; the next deployment takes over what was typed, and all of it goes by hand again."""
    host, there = site.there.host, site.there
    before = shared_files(site)
    answers = {
        "deployment": "leia", "client": "Leia", "hosts": f"{host.address}:{host.port}", "user": sshd.user(),
        "base_path": str(host.base), "identity_file": str(host.client_key), "dagster_url": there.url,
        "dagster_kind": "compose", "dagster_folder": there.settings["folder"], "network": str(there.network),
        "base_inside": there.settings["base_inside"], "environment": "host", "python": "python3",
    }  # fmt: skip
    folder = configure(site.root, site.module, "rsync", answers).folder
    (folder / "known_hosts").write_text(host.known_hosts_line)
    (folder / ".env.deploy").write_text("SALES_REPORT_TOKEN='s3cret-of-production'\n")
    follow(site.module, folder)
    assert site.running() == NAME
    there.compose("restart", "--timeout", "2", "dagster_daemon")
    assert_is_apart(site, there.dagster.materialize("sales_report"))
    release = site.deploy(force=True)
    assert site.running() == release
    for name, text in before.items():
        (there.folder / name).write_bytes(text)
    (site.modules / ".registry").unlink()
    subprocess.run(["rm", "-rf", site.modules / "sales-report"], check=True)
    there.dagster.query("mutation { reloadWorkspace { __typename } }")


def inside_of(site: ComposeSite, release: str) -> Inside:
    (container,) = site.there.containers("dagster_webserver")
    folder = f"/workspace/modules/sales-report/releases/{release}"
    return Inside(
        site.root, site.deployment.name, folder, "SALES_REPORT_TOKEN", "s3cret-of-production",
        lambda: site.there.engine.docker("top", container, "-eo", "pid,args"),
    )  # fmt: skip


def assert_is_apart(site: ComposeSite, made: str) -> None:
    """See that a run had a separate container, with the module's settings and the shared storage."""
    stored = "cat /tmp/dagster_storage/sales_report/number; echo; hostname"
    value, token, where, webserver = site.there.compose("exec", "-T", "dagster_webserver", "sh", "-c", stored).split()
    assert (value, token) == ("1", "s3cret-of-production")
    (container,) = (one.tags["docker/container_id"] for one in site.there.dagster.runs() if one.id == made)
    assert container.startswith(where)
    assert where != webserver
    # It has gone with its run.
    names = ["ps", "--all", "--quiet", "--no-trunc"]
    await_that(lambda: container not in site.there.engine.docker(*names), 30, "the run's container is removed")


def depends_on(site: ComposeSite, service: str) -> list[str]:
    data = yaml.safe_load((site.there.folder / "docker-compose.yml").read_bytes())
    return list(data["services"][service]["depends_on"])


def give_mysql(site: ComposeSite, fragments: Path, image: str) -> None:
    change(site, database={"type": "mysql"})
    (site.module / "workspace/local/schema.sql").write_text("CREATE TABLE orders (number INT);\n")
    site.set(
        (fragments / "docker-compose.yml").read_text(), MYSQL_IMAGE=image,
        SALES_REPORT_DB_PORT=str(free_port()), SALES_REPORT_DB_NAME="sales", SALES_REPORT_DB_USER="seller",
        SALES_REPORT_DB_PASSWORD="of-production", SALES_REPORT_DB_ROOT_PASSWORD="unused",
    )  # fmt: skip


def ask_mysql(site: ComposeSite, statement: str) -> str:
    """Have the module's database carry out a statement, as the module's user."""
    client = 'MYSQL_PWD="$MYSQL_PASSWORD" mariadb -h 127.0.0.1 -P "$MYSQL_TCP_PORT" -u "$MYSQL_USER" "$MYSQL_DATABASE"'
    (container,) = site.there.containers("sales_report_db")
    return site.there.engine.docker("exec", container, "sh", "-c", f"{client} -Ne '{statement}'").strip()


@pytest.fixture
def theirs(tmp_path: Path, yard: ComposeHost, image_names: dict[str, str]) -> Iterator[ComposeSite]:
    """Give a Dagster in containers that this program did not make, on the same host."""
    port = free_port()
    settings = {"folder": "stack", "base_inside": "/srv/all", "service": "page"}
    there = ComposeHost(yard.host, yard.engine, f"http://127.0.0.1:{port}", settings, base="~/theirs")
    image = f"dagster-{yard.network.removesuffix('-net')}-dagster"
    their_stack.write(there.folder, f"analysts-{port}", port, image, image_names["POSTGRES_IMAGE"])
    try:
        own = {"kind": "venv", "python": "python3"}
        site = make_site(tmp_path / "workspace", there, database={"type": "postgresql"}, environment=own)
        require_dagster(site.module)
        yield site
    finally:
        their_stack.stop(there)


def test_a_stack_of_another_owner_with_a_run_in_progress(theirs: ComposeSite, image_names: dict[str, str]) -> None:
    there, before = theirs.there, shared_files(theirs)
    running = their_stack.start(there)
    containers = there.started()
    (found,) = set_up(theirs.found)
    # The page has what it needs; in the scheduler, Dagster would not find the modules' settings.
    (note,) = found["notes"]
    assert "scheduler does not run in /srv/all/stack" in note
    assert found["files"] == []
    assert shared_files(theirs) == before
    settings = {"PORT": str(free_port()), "PASSWORD": "of-production"}
    theirs.set(
        DATABASE,
        POSTGRES_IMAGE=image_names["POSTGRES_IMAGE"],
        **{f"SALES_REPORT_DB_{name}": value for name, value in settings.items()},
    )
    first = theirs.deploy()
    assert theirs.running() == first
    data = yaml.safe_load((there.folder / "compose.yaml").read_bytes())
    assert data["services"]["scheduler"]["depends_on"] == ["store", "sales_report_db"]
    # The environment of the release is its own, and reaches the store that their Dagster has.
    assert list((theirs.modules / "sales-report/venvs").glob("*/lib/*/site-packages/dagster_postgres"))
    shown = run(theirs.root, "deploy.exec", theirs.deployment.name, "--", "sh", "-c", "command -v python")
    assert "/srv/all/modules/sales-report/venvs/" in shown.stdout, shown
    assert containers.items() <= there.started().items()
    of_first = shared_files(theirs)
    set_value(theirs.module, 2)
    assert theirs.deploy() != first
    roll_back(theirs.found)
    assert theirs.running() == first
    assert shared_files(theirs) == of_first
    assert containers.items() <= there.started().items()
    assert there.dagster.status(running) == "STARTED"
    (there.folder / "home/go").touch()
    assert there.dagster.await_end(running) == "SUCCESS"
    remove(theirs.found)
    assert there.containers("sales_report_db") == []
    assert there.started() == containers
    assert shared_files(theirs) == before

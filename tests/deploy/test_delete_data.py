"""What a module has stored goes with it when that is asked for, and not before it was dumped."""

from __future__ import annotations

import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deployments.deployment import find
from dagster_module_builder.deployments.removal import remove
from dagster_module_builder.errors import BuilderError
from tests.deploy.conftest import Site
from tests.deploy.test_commands import run
from tests.template import database_servers

SCHEMA = (
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, what VARCHAR(40)); INSERT INTO orders VALUES (1, 'eleven teapots');"
)
RUN = {"runId": "1", "status": "STARTED", "tags": [], "repositoryOrigin": {"repositoryLocationName": "sales_report"}}


def configure(site: Site, **settings: object) -> Path:
    """Give the module a storage of its own with one file in it, and these settings."""
    storage = site.host.folder / "storage"
    (storage / "sales_report").mkdir(parents=True)
    (storage / "sales_report/number").write_text("42")
    (storage / "other_module").mkdir()
    named = {"DAGSTER_STORAGE_DIR": storage, **{f"SALES_REPORT_{key}": value for key, value in settings.items()}}
    with (site.module / "deploy/yoda/.env.deploy").open("a") as file:
        file.writelines(f"{name}='{value}'\n" for name, value in named.items())
    return storage


@pytest.fixture(params=["postgresql", "mysql"])
def with_database(quick: Site, request: pytest.FixtureRequest) -> Iterator[tuple[Site, Path]]:
    """Give a deployed module with a database server on its host, which no container is."""
    settings = {"USER": "shop", "NAME": "orders", "PASSWORD": "s3cret-of-the-shop"}
    folder = quick.host.folder / "server"
    folder.mkdir()
    schema = quick.host.folder / "schema.sql"
    schema.write_text(SCHEMA)
    port = database_servers.free_port()
    data = yaml.safe_load((quick.module / "deploy/yoda/deployment.yaml").read_text())
    data["database"] = {"type": request.param, "port": port}
    (quick.module / "deploy/yoda/deployment.yaml").write_text(yaml.safe_dump(data))
    for parent in (quick.host.folder, *quick.host.folder.parents):
        if parent.stat().st_uid and parent != Path("/"):
            break
        parent.chmod(parent.stat().st_mode | 0o111)
    with database_servers.running(request.param, folder, port, settings, schema):
        named = {f"DB_{name}": value for name, value in settings.items()}
        storage = configure(quick, DB_HOST="127.0.0.1", DB_PORT=port, **named)
        quick.deploy()
        yield quick, storage


def test_dumped_and_deleted(with_database: tuple[Site, Path]) -> None:
    site, storage = with_database
    (outcome,) = remove(find(site.root, "yoda"), delete_data=True)
    (dump,) = (site.host.base / "dumps").iterdir()
    assert stat.S_IMODE(dump.stat().st_mode) == 0o700
    assert stat.S_IMODE((dump / "database.sql").stat().st_mode) == 0o600
    assert "eleven teapots" in (dump / "database.sql").read_text()
    with tarfile.open(dump / "storage.tar.gz") as packed:
        assert "sales_report/number" in packed.getnames()
    assert [path.name for path in storage.iterdir()] == ["other_module"]
    assert not site.there.exists()
    told = "\n".join(outcome.notes)
    assert str(dump) in told
    assert "database orders on 127.0.0.1 is left there" in told
    assert "s3cret" not in told


def test_a_dump_that_fails_leaves_everything(with_database: tuple[Site, Path]) -> None:
    site, storage = with_database
    release = site.current()
    # As if the server's password had been changed since.
    env = site.there / "env" / f"{release}.env"
    env.write_text(env.read_text().replace("s3cret-of-the-shop", "another"))
    with pytest.raises(BuilderError, match="could not be dumped"):
        remove(find(site.root, "yoda"), delete_data=True)
    assert site.running() == site.current() == release
    assert (storage / "sales_report/number").exists()
    assert not list((site.host.base / "dumps").iterdir())


def test_runs_in_progress_keep_their_data(quick: Site) -> None:
    storage = configure(quick)
    quick.deploy()
    quick.dagster.runs = [RUN]
    with pytest.raises(BuilderError, match="1 runs of sales-report are in progress"):
        remove(find(quick.root, "yoda"), delete_data=True)
    assert quick.running() == quick.current()
    assert (storage / "sales_report/number").exists()


def test_asked_before_and_stays_otherwise(quick: Site) -> None:
    storage = configure(quick)
    quick.deploy()
    flags = ["deploy.remove", "yoda", "--module", "sales-report"]
    said = run(quick.root, *flags, "--delete-data")
    assert said.returncode == 1
    assert "stored files there after a dump" in said.stderr
    assert quick.there.exists()
    assert run(quick.root, *flags, "--yes").returncode == 0
    assert (storage / "sales_report/number").exists()
    assert not (quick.host.base / "dumps").exists()
    quick.deploy()
    said = run(quick.root, *flags, "--delete-data", "--yes")
    assert said.returncode == 0, said
    assert not (storage / "sales_report").exists()
    assert (storage / "other_module").exists()

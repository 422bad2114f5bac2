"""The database service of a module, started, taken back, dumped and deleted by a real Compose."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.deploy.host_side import compose, deletion, dumps
from dagster_module_builder.deploy.host_side.errors import RefusedError
from dagster_module_builder.deploy.host_side.host import Host
from tests.deploy.host_here import host_here
from tests.e2e.engine import Engine
from tests.ports import free_port

pytestmark = pytest.mark.docker
FILE = """\
name: dmb-{port}
services:
  shop_db:
    image: {image}
    environment: {{POSTGRES_USER: shop, POSTGRES_DB: orders, POSTGRES_PASSWORD: s3cret, PGPORT: "{port}"}}
    volumes: ["shop_db_data:/var/lib/postgresql/data"]
    healthcheck:
      test: ["CMD-SHELL", "{check}"]
      interval: 1s
      retries: {retries}
volumes:
  shop_db_data:
"""
HEALTHY = "pg_isready --quiet --host 127.0.0.1 --username shop --dbname orders"


@pytest.fixture
def host(tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for name, value in engine.environ.items():
        monkeypatch.setenv(name, value)
    yield host_here(tmp_path)
    Engine(engine.environ).compose(tmp_path, "down", "--volumes", "--timeout", "2")


def test_started_dumped_and_deleted(host: Host, tmp_path: Path, image_names: dict[str, str]) -> None:
    text = FILE.format(port=free_port(), image=image_names["POSTGRES_IMAGE"], check=HEALTHY, retries=60)
    (tmp_path / "docker-compose.yml").write_text(text)
    services = compose.with_old(host, {"folder": str(tmp_path), "names": ["shop_db"], "gone": []})
    assert services["old"] == []
    compose.start(host, services)
    assert compose.with_old(host, services)["old"] == ["shop_db"]
    place = {"folder": str(tmp_path), "name": "shop_db"}
    path = tmp_path / "database.sql"
    dumps.dump_database(host, str(path), {"type": "postgresql", "service": place}, time.monotonic() + 60)
    assert "PostgreSQL database dump complete" in path.read_text()
    service = {"folder": str(tmp_path), "volumes": ["shop_db_data"]}
    assert len(compose.volume_names(host, **service)) == 1
    assert compose.image_of(host, str(tmp_path), ["shop_db"]).startswith("sha256:")
    compose.drop(host, str(tmp_path), ["shop_db"])
    assert compose.containers(host, str(tmp_path), ["shop_db"]) == []
    assert compose.image_of(host, str(tmp_path), ["shop_db"]) is None
    dump = {"folder": str(tmp_path), "files": {path.name: dumps.digest_of(str(path))}}
    gone = deletion.delete(host, "shop", None, dump, service)
    assert len(gone) == 1
    assert compose.volume_names(host, **service) == []


def test_one_that_does_not_start_is_taken_back(host: Host, tmp_path: Path, image_names: dict[str, str]) -> None:
    text = FILE.format(port=free_port(), image=image_names["POSTGRES_IMAGE"], check="exit 1", retries=1)
    (tmp_path / "docker-compose.yml").write_text(text)
    services = compose.with_old(host, {"folder": str(tmp_path), "names": ["shop_db"], "gone": []})
    with pytest.raises(RefusedError, match="did not become healthy"):
        compose.start(host, services)
    compose.drop_new(services)
    assert compose.containers(host, str(tmp_path), ["shop_db"]) == []

"""A host whose Dagster runs in containers: put there by deploy.setup, deployed to, rolled back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy import Options, deploy
from dagster_module_builder.deploy_setup import set_up
from dagster_module_builder.deployment import find
from dagster_module_builder.errors import BuilderError
from dagster_module_builder.removal import remove
from dagster_module_builder.rollback import roll_back
from tests import needs
from tests.deploy import sshd
from tests.deploy.modules import make_deployment, make_module, set_value
from tests.deploy.sshd import SshHost, free_port
from tests.e2e.conftest import engine, image_names  # noqa: F401 - fixtures
from tests.e2e.engine import Engine

pytestmark = pytest.mark.docker
OPTIONS = Options(allow_dirty=True, settle=False)
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


@pytest.fixture
def site(
    tmp_path: Path,
    engine: Engine,  # noqa: F811
    image_names: dict[str, str],  # noqa: F811
) -> Iterator[tuple[Path, SshHost, str]]:
    needs.programs("rsync", "git")
    root = tmp_path / "workspace"
    module = make_module(root)
    docker_folder = needs.program("docker").parent
    environ = {**engine.environ, "PATH": f"{docker_folder}:/usr/local/bin:/usr/bin:/bin"}
    environ = {key: value for key, value in environ.items() if key in {"PATH", "DOCKER_HOST", "DOCKER_CONFIG"}}
    with sshd.hosts(tmp_path / "hosts", 1, environ) as (host,):
        url = f"http://127.0.0.1:{free_port()}"
        folder = make_deployment(module, [host], [url], "python3", name=f"yoda-{free_port()}")
        data = yaml.safe_load((folder / "deployment.yaml").read_text())
        data["dagster"] |= {
            "kind": "compose", "folder": "services/dagster", "base_inside": "/workspace",
            "python_image": image_names["PYTHON_IMAGE"], "postgres_image": image_names["POSTGRES_IMAGE"],
        }  # fmt: skip
        data["network"] = f"{folder.name}-net"
        (folder / "deployment.yaml").write_text(yaml.safe_dump(data))
        try:
            yield root, host, url
        finally:
            services = host.base / "services/dagster"
            if services.is_dir():
                Engine(engine.environ).compose(services, "down", "--volumes", "--timeout", "5")


def working_directory(url: str) -> str:
    query = "{ workspaceOrError { ... on Workspace { locationEntries { displayMetadata { key value } } } } }"
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        (entry,) = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
    return {one["key"]: one["value"] for one in entry["displayMetadata"]}["working_directory"]


def test_setup_deploy_rollback_remove(site: tuple[Path, SshHost, str]) -> None:
    root, host, url = site
    (name,) = {path.name for path in root.glob("projects/*/deploy/*") if path.is_dir()}
    (found,) = set_up(find(root, name), start=True)
    assert found.get("made"), found
    assert set_up(find(root, name))[0]["files"] == []
    before = (host.base / "services/dagster/workspace.yaml").read_bytes()
    (outcome,) = deploy(find(root, name), OPTIONS)
    first = outcome.releases["sales-report"]
    assert working_directory(url) == f"/workspace/modules/sales-report/releases/{first}/src"
    module = root / "projects/sales-report"
    set_value(module, 2)
    (outcome,) = deploy(find(root, name), OPTIONS)
    second = outcome.releases["sales-report"]
    assert f"/{second}/" in working_directory(url)
    (path,) = module.glob("src/*/definitions.py")
    whole = path.read_text()
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(BuilderError, match="nothing_of_that_name"):
        deploy(find(root, name), OPTIONS)
    assert f"/{second}/" in working_directory(url)
    path.write_text(whole)
    roll_back(find(root, name))
    assert f"/{first}/" in working_directory(url)
    remove(find(root, name))
    assert (host.base / "services/dagster/workspace.yaml").read_bytes() == before
    assert not list(Path(host.base / "modules").glob("sales*"))
    assert (host.base / "services/dagster/.env").stat().st_mode & 0o077 == 0


def test_a_database_comes_and_goes_with_its_module(site: tuple[Path, SshHost, str]) -> None:
    root, host, _ = site
    (name,) = {path.name for path in root.glob("projects/*/deploy/*") if path.is_dir()}
    module, port = root / "projects/sales-report", free_port()
    (module / "workspace/local/docker-compose.yml").write_text(DATABASE)
    deployment = module / "deploy" / name
    data = yaml.safe_load((deployment / "deployment.yaml").read_text())
    (deployment / "deployment.yaml").write_text(yaml.safe_dump({**data, "database": {"type": "postgresql"}}))
    with (deployment / ".env.deploy").open("a") as file:
        file.write(f"SALES_REPORT_DB_PORT='{port}'\nSALES_REPORT_DB_PASSWORD='of-production'\n")
    set_up(find(root, name), start=True)
    compose = host.base / "services/dagster/docker-compose.yml"
    before = compose.read_bytes()
    deploy(find(root, name), OPTIONS)
    assert "sales_report_db" in yaml.safe_load(compose.read_bytes())["services"]["dagster_daemon"]["depends_on"]
    (outcome,) = remove(find(root, name), delete_data=True)
    assert compose.read_bytes() == before
    (dump,) = (host.base / "dumps").iterdir()
    assert "PostgreSQL database dump complete" in (dump / "database.sql").read_text()
    assert "sales_report_db_data" in " ".join(outcome.notes)

"""A module's database in the compose file of a host: put there beside what others wrote, and taken out again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from dagster_module_builder.base.errors import ConflictError, RefusedError, ToolError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.hosts import host_database, host_preparation
from dagster_module_builder.deploy.hosts.host_files import REGISTRY, plan_host
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.model import database_rules
from dagster_module_builder.modules.module import FRAGMENT_NAMES
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE, WORKSPACE_TEMPLATE

NAMES = ModuleNames("sales-report")
ENV = b"SALES_REPORT_DB_PORT='5433'\nSALES_REPORT_DB_HOST='127.0.0.1'\nSALES_REPORT_DB_PASSWORD='of production'\n"
FOREIGN = b"""\
services:
  web:
    image: acme/dagster
    command: dagster-webserver -w /opt/workspace.yaml
    networks: [inner]
    depends_on:
      - pg
  pg: {image: postgres}
networks:
  inner:
"""


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def fragment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    answers = {"name": "sales-report", "database": request.param, "code_server": "own"}
    made = render(MODULE_TEMPLATE, answers, tmp_path_factory.mktemp("module"))
    return (made / "workspace/local" / FRAGMENT_NAMES["docker-compose.yml"]).read_bytes()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | None]:
    """Give the files of a host on which 'deploy.setup' put our Dagster."""
    made = render(WORKSPACE_TEMPLATE, {"name": "workspace", "isolation": "none"}, tmp_path_factory.mktemp("host"))
    files = {f"services/dagster/{name}": (made / "services/dagster" / name).read_bytes()
             for name in ("docker-compose.yml", ".env")}  # fmt: skip
    return {**files, "services/dagster/workspace.yaml": b"load_from: []\n", REGISTRY: None}


def database(fragment: bytes, folder: str = "services/dagster", env: bytes = ENV) -> dict[str, Any] | None:
    return host_database.database_of(fragment, NAMES, folder, env)


def location(found: Mapping[str, Any] | None) -> HostLocation:
    env = host_database.settings(ENV, found, NAMES)
    return HostLocation(NAMES, "/workspace/modules/sales-report/releases/1/src", None, env, found)


def after(files: Mapping[str, bytes | None], plan: Any) -> dict[str, bytes | None]:
    return {**files, **{str(change.path): change.after for change in plan.changes}}


def test_a_workspace_that_keeps_modules_apart_takes_no_releases(
    fragment: bytes, host: dict[str, bytes | None], tmp_path: Path
) -> None:
    made = render(WORKSPACE_TEMPLATE, {"name": "workspace"}, tmp_path) / "services/dagster/docker-compose.yml"
    closed = {**host, "services/dagster/docker-compose.yml": made.read_bytes()}
    with pytest.raises(RefusedError, match=r"run 'deploy\.setup' once"):
        plan_host("services/dagster", closed, [location(database(fragment))])


def test_only_the_database_comes_along(fragment: bytes, host: dict[str, bytes | None]) -> None:
    found = database(fragment)
    put = after(host, plan_host("services/dagster", host, [location(found)]))
    data = yaml.safe_load(put["services/dagster/docker-compose.yml"])
    service = data["services"]["sales_report_db"]
    assert service["networks"] == ["workspace-net"]
    assert "../../modules/sales-report/shared/workspace/local/schema.sql:" in " ".join(service["volumes"])
    assert "sales_report_code" not in data["services"]
    assert "sales_report_db_data" in data["volumes"]
    assert found["files"] == {"modules/sales-report/shared/workspace/local/schema.sql": "workspace/local/schema.sql"}
    waiting = {name for name, one in data["services"].items() if "sales_report_db" in (one.get("depends_on") or {})}
    assert waiting == {"dagster_webserver", "dagster_daemon"}
    # The code is told the service's name; the password stays in .env, which is 0600.
    assert b"SALES_REPORT_DB_HOST='sales_report_db'" in put["services/dagster/.env"]
    assert b"of production" not in put["services/dagster/docker-compose.yml"]


def test_it_goes_without_a_trace(fragment: bytes, host: dict[str, bytes | None]) -> None:
    put = after(host, plan_host("services/dagster", host, [location(database(fragment))]))
    again = plan_host("services/dagster", put, [location(database(fragment))])
    assert not again.effective
    gone = after(put, plan_host("services/dagster", put, [], [NAMES]))
    assert {path: gone[path] for path in host if path != REGISTRY} == {
        path: text for path, text in host.items() if path != REGISTRY
    }


def test_a_compose_file_of_another_owner(fragment: bytes) -> None:
    files = {"compose.yaml": FOREIGN, ".env": b"", "workspace.yaml": b"load_from: []\n", REGISTRY: None}
    put = after(files, plan_host(".", files, [location(database(fragment, "."))]))
    data = yaml.safe_load(put["compose.yaml"])
    assert data["services"]["web"]["depends_on"] == ["pg", "sales_report_db"]
    assert data["services"]["sales_report_db"]["networks"] == ["inner"]
    assert any(one.startswith("./modules/") for one in data["services"]["sales_report_db"]["volumes"])
    gone = after(put, plan_host(".", put, [], [NAMES]))
    assert gone["compose.yaml"] == FOREIGN


def test_a_database_elsewhere_is_no_service(fragment: bytes) -> None:
    assert database(fragment, env=b"SALES_REPORT_DB_HOST='db.client.example'\n") is None
    assert database(b"services: {}\n") is None
    assert database(b"") is None


@pytest.mark.parametrize("line", [b"  sales_report_db: {image: redis}\n", b"  other:\n    ports: ['5433:1']\n"])
def test_what_is_there_already_is_refused(fragment: bytes, line: bytes) -> None:
    text = FOREIGN.replace(b"networks:\n  inner:", line + b"networks:\n  inner:")
    files = {"compose.yaml": text, ".env": b"", "workspace.yaml": b"load_from: []\n", REGISTRY: None}
    with pytest.raises(ConflictError, match=r"twice|two services"):
        plan_host(".", files, [location(database(fragment, "."))])


def test_the_image_is_the_hosts_choice(fragment: bytes) -> None:
    found = database(fragment)
    assert host_database.image(found, b"POSTGRES_IMAGE='mirror/pg:16'\nMYSQL_IMAGE='mirror/my:8'\n", ENV) in {
        "mirror/pg:16", "mirror/my:8"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("Error response from daemon: No such image: postgres:17", None),
        ("permission denied while trying to connect to the Docker daemon socket", "permission denied"),
        ("", "it did not say why"),
    ],
)
def test_an_image_is_fetched_only_where_docker_says_that_it_is_not_there(words: str, error: str | None) -> None:
    """An engine that cannot be asked is no engine without the image: its own words are told."""
    asked: list[list[str]] = []

    class Answers:
        def ask(self, _: str, *, command: list[str], limit: float = 0.0) -> dict[str, Any]:
            asked.append(command[1:3])
            return {"code": 0, "said": ""} if limit else {"code": 1, "said": f"\n{words}\n"}

    run: Any = HostRun.__new__(HostRun)
    run.conversation, run.progress = Answers(), lambda *_: None
    run.target = SimpleNamespace(first=SimpleNamespace(dagster_folder="."))
    run.inspection = {"files": {}}
    release: Any = SimpleNamespace(module="sales-report", env=b"")
    made = {"service": {"image": "postgres:17"}, "files": {}}
    if error:
        with pytest.raises(ToolError, match=error):
            host_preparation.fetch_database(run, release, made)
    else:
        host_preparation.fetch_database(run, release, made)
    assert asked == [["image", "inspect"], *([] if error else [["pull", "--quiet"]])]


def test_a_database_setting_that_was_not_allowed_comes_to_no_new_host(
    fragment: bytes, host: dict[str, bytes | None]
) -> None:
    """FAULTS S5, on hosts: refused unless the deployment allows it; what an earlier version put there stays."""
    hostile = fragment.replace(b"    restart: unless-stopped\n", b"    privileged: true\n", 1)
    found = database(hostile)
    assert found
    with pytest.raises(ConflictError, match=r"sales_report_db: 'privileged' gives the container rights"):
        plan_host("services/dagster", host, [location(found)])
    allowed = host_database.database_of(hostile, NAMES, "services/dagster", ENV, ["privileged"])
    earlier = {key: value for key, value in found.items() if key != database_rules.KEY}
    assert allowed == earlier
    put = after(host, plan_host("services/dagster", host, [location(earlier)]))
    assert not plan_host("services/dagster", put, [location(found)]).effective
    more = location(database(hostile.replace(b"    privileged: true\n", b"    privileged: true\n    pid: host\n")))
    with pytest.raises(ConflictError, match="'pid:host' shares"):
        plan_host("services/dagster", put, [more])

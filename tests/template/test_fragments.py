"""What a module gives to the workspace's files."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.template.refused_settings import refused_settings

if TYPE_CHECKING:
    from tests.template.rendering import Desk, Rendering

DATABASES = ("none", "postgresql", "mysql", "duckdb")
SERVERS = ("postgresql", "mysql")


def fragment(rendering: Rendering, name: str) -> Any:
    return yaml.safe_load(rendering.text(f"workspace/local/{name}"))


def test_the_location_names_the_definitions_relative_to_the_services(desk: Desk):
    (entry,) = fragment(desk.rendered(), "workspace.yaml")["load_from"]

    assert entry == {
        "python_package": {
            "package_name": "sales_report_dagster.definitions",
            "working_directory": "../../projects/sales-report/src",
            "location_name": "sales_report",
        }
    }


def test_a_code_server_of_its_own_is_named_by_its_service(desk: Desk):
    rendering = desk.rendered(code_server="own")
    (entry,) = fragment(rendering, "workspace.yaml")["load_from"]
    compose = fragment(rendering, "docker-compose.yml")

    assert entry == {"grpc_server": {"host": "sales_report_code", "port": 4000, "location_name": "sales_report"}}
    assert set(compose["services"]) == {"sales_report_code"}
    assert compose["x-dagster-code"]["depends_on"] == {"sales_report_code": {"condition": "service_healthy"}}


@pytest.mark.parametrize(("database", "server"), [*itertools.product(DATABASES, ("shared", "own"))])
def test_every_service_is_complete(desk: Desk, database: str, server: str):
    rendering = desk.rendered(database=database, code_server=server)
    compose = fragment(rendering, "docker-compose.yml") or {}

    assert refused_settings(rendering.module) == []
    expected = [("sales_report_db", database in SERVERS), ("sales_report_code", server == "own")]
    services = compose.get("services", {})
    assert set(services) == {name for name, wanted in expected if wanted}
    for service in services.values():
        assert service["networks"] == ["workspace-net"]
        assert service["restart"] == "unless-stopped"
    waited_for = compose.get("x-dagster-code", {}).get("depends_on", {})
    assert waited_for == {name: {"condition": "service_healthy"} for name in services}


@pytest.mark.parametrize("database", SERVERS)
def test_a_database_has_one_port_everywhere_a_volume_and_a_health_check_over_tcp(desk: Desk, database: str):
    rendering = desk.rendered(database=database, database_port="5450")
    compose = fragment(rendering, "docker-compose.yml")
    service = compose["services"]["sales_report_db"]

    assert "SALES_REPORT_DB_PORT='5450'" in rendering.text("workspace/local/.env")
    assert service["ports"] == ["127.0.0.1:${SALES_REPORT_DB_PORT}:${SALES_REPORT_DB_PORT}"]
    assert "127.0.0.1" in service["healthcheck"]["test"][1]
    assert service["volumes"][0].startswith("sales_report_db_data:")
    assert list(compose["volumes"]) == ["sales_report_db_data"]
    assert compose["x-dagster-code"]["environment"] == {"SALES_REPORT_DB_HOST": "sales_report_db"}
    assert "PASSWORD" not in " ".join(service["healthcheck"]["test"]) or "--password" not in str(service)


@pytest.mark.parametrize("database", SERVERS)
def test_the_settable_images_have_defaults(desk: Desk, database: str):
    service = fragment(desk.rendered(database=database), "docker-compose.yml")["services"]["sales_report_db"]

    expected = {"postgresql": "${POSTGRES_IMAGE:-postgres:16}", "mysql": "${MYSQL_IMAGE:-mysql:8.4}"}
    assert service["image"] == expected[database]


def test_a_module_of_its_own_code_server_adds_nothing_to_the_shared_image(desk: Desk):
    rendering = desk.rendered(code_server="own", requires_pdf="yes")

    assert not [line for line in rendering.text("workspace/local/dockerfile.snippet").splitlines() if line[0] != "#"]
    dockerfile = rendering.text("Dockerfile")
    assert "poppler-utils" in dockerfile
    assert "\nUSER 1000:1000\n" in dockerfile


def test_the_shared_image_is_told_the_requirements_and_the_path(desk: Desk):
    rendering = desk.rendered(requires_ssh="yes", requires_video="yes", requires_ffmpeg="yes")
    snippet = rendering.text("workspace/local/dockerfile.snippet")

    assert "ffmpeg openssh-client \\" in snippet
    assert "COPY projects/sales-report/pyproject.toml /opt/dagster/modules/sales-report/pyproject.toml" in snippet
    assert 'ENV PYTHONPATH="/workspace/projects/sales-report/src:${PYTHONPATH}"' in snippet


def test_nothing_in_a_fragment_looks_like_a_marker(desk: Desk):
    rendering = desk.rendered(database="mysql", code_server="own")

    for path in (rendering.module / "workspace/local").iterdir():
        assert "# BEGIN:" not in path.read_text("utf-8")

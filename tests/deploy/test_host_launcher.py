"""A host whose Dagster starts each run in a container: what a module finds there is known before it is deployed."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.hosts.host_files import REGISTRY, plan_host
from dagster_module_builder.deploy.hosts.host_location import CodeServer, HostLocation
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE
from dagster_module_builder.workspaces.initialize import initialize

NAMES = ModuleNames("sales-report")
CODE = "/workspace/modules/sales-report/releases/1/src"
THEIRS = b"""\
run_launcher:
  module: dagster_docker
  class: DockerRunLauncher
  config:
    env_vars: [SALES_REPORT_TOKEN=x]
    container_kwargs:
      volumes: ["/srv/dagster:/workspace"]
"""


def location(server: CodeServer | None = None) -> HostLocation:
    return HostLocation(NAMES, CODE, None, b"SALES_REPORT_TOKEN='t'\n", server=server)


def plan(instance: bytes, one: HostLocation, folder: str = "services/dagster") -> None:
    files = {f"{folder}/workspace.yaml": b"load_from: []\n", f"{folder}/dagster.yaml": instance, REGISTRY: None}
    plan_host(folder, files, [one])


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the configuration that 'deploy.setup' makes."""
    folder = tmp_path_factory.mktemp("host")
    answers = {"name": "workspace", "project": "p", "network": "123", "run_launcher": "docker"}
    place = {"WORKSPACE_ROOT": "/srv/a b: #", "WORKSPACE_OWNER": "7:8", "DOCKER_SOCKET": "/run/s", "DOCKER_GROUP": "9"}
    made = render(WORKSPACE_TEMPLATE, answers, folder, place) / "services/dagster"
    assert "DOCKER_SOCKET='/run/s'\nDOCKER_GROUP='9'\n" in (made / ".env").read_text()
    assert "WORKSPACE_UID='7'\nWORKSPACE_GID='8'\n" in (made / ".env").read_text()
    return (made / "dagster.yaml").read_bytes()


def test_ours_has_everything(ours: bytes) -> None:
    plan(ours, location())
    assert b'"/srv/a b: #":' in ours
    assert b'user: "7:8"' in ours
    assert b'network: "123"' in ours


def test_a_code_server_has_its_runs_beside_it(ours: bytes) -> None:
    with pytest.raises(ConflictError, match="which lack the settings of sales-report"):
        plan(ours, location(CodeServer("s", "s", 4000)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (THEIRS, None),
        (
            THEIRS.replace(b":/workspace", b":/elsewhere"),
            "would not find /workspace/modules/sales-report/releases/1/src",
        ),
        (THEIRS.replace(b"SALES_REPORT_TOKEN", b"OTHER"), "would not have SALES_REPORT_TOKEN: set 'working_dir: /work"),
        (b"", None),
        (b"run_launcher: {module: dagster, class: DefaultRunLauncher}", None),
    ],
)
def test_another_owners_file_may_lack_something(text: bytes, said: str | None) -> None:
    if said is None:
        plan(text, location())
        return
    with pytest.raises(ConflictError, match=said):
        plan(text, location())


def test_a_workspace_says_where_it_is(tmp_path: Path) -> None:

    initialize(tmp_path / "ws", {"run_launcher": "docker"})
    assert f'"{tmp_path / "ws"}":' in (tmp_path / "ws/services/dagster/dagster.yaml").read_text()

"""A module with its own code server in workspaces of other people's making: as far as Compose can tell, it works."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.fitting.instance import Instance
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from tests.corpus.workspaces import CASES, Case, Modules, bytes_of, cases, location, resolved

#: Where runs are recorded by a database server, or in a volume that a code server can share.
REACHABLE = [
    "dagster-docker-example", "dagster-project-example", "dagster-study", "deploy-docker-launcher",
    "ecommerce-elt-pipeline", "found-footy", "giga-dagster", "goodreads-elt-pipeline", "hubeau-data-integration",
    "inline-dockerfile", "reflex-ksys-lite", "stages-that-install", "user-before-packages",
]  # fmt: skip


def laid_out(name: str, folder: Path, modules: Modules) -> tuple[Case, Path]:
    case = Case(CASES / name)
    root = case.lay_out(folder / "ws")
    modules.put(root, "sales-report", "forecast")
    return case, root


def put(case: Case, root: Path) -> None:
    # One that its template made for the shared image, one for a code server of the template's workspace.
    add_module(root, "sales-report", code_services=case.code_services, own_server=True)
    add_module(root, "forecast", code_services=case.code_services)


@pytest.mark.parametrize("name", REACHABLE)
def test_a_code_server_reaches_what_runs_need(name: str, tmp_path: Path, modules: Modules, compose: Path) -> None:
    case, root = laid_out(name, tmp_path, modules)
    before = resolved(compose, root)
    put(case, root)
    after = resolved(compose, root)
    instance = Instance(_instance(root))
    callers = [name for name, service in before.data["services"].items() if after.service(name) != service]
    for module in ("sales_report", "forecast"):
        server = after.service(f"{module}_code")
        assert server["image"] == after.environment(f"{module}_code")["DAGSTER_CURRENT_IMAGE"]
        assert location(root, module) == {
            "host": f"{module}_code", "port": 4000, "location_name": module,
        }  # fmt: skip
        for caller in callers:
            assert after.networks(caller) & after.networks(f"{module}_code")
            known = {key: value for key, value in after.environment(caller).items() if key in instance.variables}
            assert known.items() <= after.environment(f"{module}_code").items()
        assert Path(server["build"]["context"]) == root / settings.PROJECTS / module.replace("_", "-")
    assert after.environment("sales_report_code")["SALES_REPORT_DB_HOST"] == "sales_report_db"
    assert after.service("sales_report_code")["depends_on"]["sales_report_db"]["condition"] == "service_healthy"


def _instance(root: Path) -> object:
    path = root / settings.SERVICES / "dagster.yaml"
    return yaml.safe_load(path.read_bytes()) if path.is_file() else None


@pytest.mark.parametrize("name", REACHABLE)
def test_services_keep_their_values(name: str, tmp_path: Path, modules: Modules, compose: Path) -> None:
    case, root = laid_out(name, tmp_path, modules)
    before = resolved(compose, root)
    put(case, root)
    after = resolved(compose, root)
    for service, data in before.data["services"].items():
        now = {**after.service(service)}
        assert (now.pop("depends_on", None) or {}).items() >= (data.pop("depends_on", None) or {}).items()
        assert (now.pop("environment", None) or {}).items() >= (data.pop("environment", None) or {}).items()
        assert now == data


@pytest.mark.parametrize("name", REACHABLE)
def test_removal_gives_every_byte_back(name: str, tmp_path: Path, modules: Modules) -> None:
    case, root = laid_out(name, tmp_path, modules)
    before = bytes_of(root)
    put(case, root)
    assert not sync(root, dry_run=True).outcome.plan.effective
    for module in ("sales-report", "forecast"):
        remove_module(root, module)
    assert bytes_of(root) == before


def test_a_module_that_the_services_cannot_load_gets_a_code_server(tmp_path: Path, modules: Modules) -> None:
    case, root = laid_out("inline-dockerfile", tmp_path, modules)
    outcome = add_module(root, "sales-report", code_services=case.code_services)
    assert any("gets its own code server" in note for note in outcome.notes)
    assert location(root, "sales_report")["port"] == 4000


@pytest.mark.parametrize("case", [each for each in cases() if each.path.name not in REACHABLE], ids=str)
def test_where_runs_are_recorded_in_a_container_a_code_server_is_refused(
    case: Case, tmp_path: Path, modules: Modules
) -> None:
    root = case.lay_out(tmp_path / "ws")
    modules.put(root, "forecast")
    before = bytes_of(root)
    with pytest.raises(BuilderError):
        add_module(root, "forecast", code_services=case.code_services)
    assert bytes_of(root) == before


HOSTILE = 'x"\n    privileged: true'


def test_what_a_module_says_stays_a_value(tmp_path: Path, modules: Modules, compose: Path) -> None:
    """FAULTS S: a text of a fragment cannot become a setting of the server that is made for it."""
    case, root = laid_out("deploy-docker-launcher", tmp_path, modules)
    fragments = root / settings.PROJECTS / "sales-report" / settings.FRAGMENTS
    file = fragments / "docker-compose.yml"
    data = yaml.safe_load(file.read_bytes())
    data["x-dagster-code"]["depends_on"] = {"sales_report_db": {"condition": HOSTILE}}
    file.write_text(yaml.safe_dump(data))
    add_module(root, "sales-report", code_services=case.code_services, own_server=True)
    services = yaml.safe_load((root / settings.SERVICES / "docker-compose.yml").read_bytes())["services"]
    assert services["sales_report_code"]["depends_on"]["sales_report_db"]["condition"] == HOSTILE
    assert [name for name, service in services.items() if "privileged" in service] == []


def test_code_whose_path_is_no_word_is_refused(tmp_path: Path, modules: Modules) -> None:
    case, root = laid_out("deploy-docker-launcher", tmp_path, modules)
    file = root / settings.PROJECTS / "sales-report" / settings.FRAGMENTS / "workspace.yaml"
    data = yaml.safe_load(file.read_bytes())
    data["load_from"][0]["python_package"]["working_directory"] += "\nRUN wget evil"
    file.write_text(yaml.safe_dump(data))
    before = bytes_of(root)
    with pytest.raises(BuilderError, match="only letters, digits"):
        add_module(root, "sales-report", code_services=case.code_services, own_server=True)
    assert bytes_of(root) == before

"""Modules go into workspaces of other people's making, work there as far as Compose can tell, and leave no trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.module_fragments import read_fragments
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.corpus.workspaces import CASES, STORAGE, Case, Modules, Resolved, bytes_of, cases, location, resolved

BOTH = ("sales-report", "notes")
INTEGRATED = [case for case in cases() if not case.refused and not case.own_server]
REFUSED = [case for case in cases() if case.refused]


def by_name(case: Case) -> str:
    return case.path.name


def laid_out(case: Case, folder: Path, modules: Modules) -> Path:
    root = case.lay_out(folder / "ws")
    modules.put(root, *BOTH)
    return root


def added(case: Case, root: Path) -> list[str]:
    """Add both modules; return the services that run their code, as what was added to them tells."""
    for name in BOTH:
        add_module(root, name, code_services=case.code_services)
    data = yaml.safe_load((root / settings.SERVICES / "docker-compose.yml").read_bytes())
    return [
        name for name, service in data["services"].items() if "sales_report_db" in (service.get("depends_on") or ())
    ]


def test_the_corpus_is_as_large_as_it_has_to_be() -> None:
    projects = {case.description["structure_of"] for case in cases() if "structure_of" in case.description}
    assert len(cases()) >= 40
    assert len(projects) >= 20


@pytest.mark.parametrize("case", INTEGRATED, ids=by_name)
def test_compose_accepts_the_result(case: Case, tmp_path: Path, modules: Modules, compose: Path) -> None:
    root = laid_out(case, tmp_path, modules)
    before = yaml.safe_load((root / settings.SERVICES / "docker-compose.yml").read_bytes())
    assert added(case, root)
    after = resolved(compose, root)
    assert set(after.data["services"]) == {*before["services"], "sales_report_db"}


@pytest.mark.parametrize("case", INTEGRATED, ids=by_name)
def test_every_service_that_runs_code_has_what_a_module_needs(
    case: Case, tmp_path: Path, modules: Modules, compose: Path
) -> None:
    root = laid_out(case, tmp_path, modules)
    services = added(case, root)
    after = resolved(compose, root)
    for service in services:
        environment = after.environment(service)
        assert environment["SALES_REPORT_DB_HOST"] == "sales_report_db"
        assert environment["SALES_REPORT_DB_PASSWORD"]
        assert after.service(service)["depends_on"]["sales_report_db"]["condition"] in {
            "service_healthy",
            "service_started",
        }
        assert after.networks(service) & after.networks("sales_report_db")
        for name in BOTH:
            assert code_of(root, after, service, name) == root / settings.PROJECTS / name / "src"
    assert_outputs_last(after, services)


def code_of(root: Path, after: Resolved, service: str, name: str) -> Path:
    """Return the folder of this machine that a service loads a module from."""
    given = location(root, name.replace("-", "_"))["working_directory"]
    path = given if given.startswith("/") else str(Path(after.service(service)["working_dir"], given).resolve())
    mounted = after.mounted(service, path)
    assert mounted, f"{service} does not see {path}"
    return Path(*mounted).resolve()


def assert_outputs_last(after: Resolved, services: list[str]) -> None:
    for name in ("sales_report", "notes"):
        stores = {after.environment(service).get(STORAGE) or "/tmp/dagster_storage" for service in services}
        assert len(stores) == 1
        store = stores.pop()
        if "://" not in store:
            mounts = {after.mounted(service, f"{store}/{name}") for service in services}
            assert len(mounts) == 1, f"the outputs of {name} are not shared: {mounts}"
            assert None not in mounts, f"the outputs of {name} vanish"


@pytest.mark.parametrize("case", INTEGRATED, ids=by_name)
@pytest.mark.parametrize("order", [BOTH, BOTH[::-1]], ids=["first-in-first-out", "last-in-first-out"])
def test_removal_gives_every_byte_back(case: Case, order: tuple[str, ...], tmp_path: Path, modules: Modules) -> None:
    root = laid_out(case, tmp_path, modules)
    before = bytes_of(root)
    added(case, root)
    assert bytes_of(root) != before
    for name in order:
        remove_module(root, name)
    assert bytes_of(root) == before


@pytest.mark.parametrize("case", INTEGRATED, ids=by_name)
def test_the_order_of_addition_leaves_no_trace(case: Case, tmp_path: Path, modules: Modules) -> None:
    results = []
    for order in (BOTH, BOTH[::-1]):
        root = laid_out(case, tmp_path / order[0], modules)
        for name in order:
            add_module(root, name, code_services=case.code_services)
        results.append({file: text.replace(bytes(root), b"") for file, text in bytes_of(root).items()})
    assert results[0] == results[1]


@pytest.mark.parametrize("case", REFUSED, ids=by_name)
def test_a_refusal_says_why_and_changes_nothing(case: Case, tmp_path: Path, modules: Modules) -> None:
    root = laid_out(case, tmp_path, modules)
    before = bytes_of(root)
    with pytest.raises(BuilderError) as refusal:
        add_module(root, "sales-report", code_services=case.code_services)
    assert case.refused
    assert case.refused in str(refusal.value)
    assert bytes_of(root) == before
    assert not (root / settings.REGISTRY).exists()


@pytest.mark.parametrize("name", ["sales-report", "notes", "forecast"])
def test_our_own_workspace_has_everything_already(name: str, tmp_path: Path, modules: Modules) -> None:
    root = tmp_path / "ws"
    initialize(root, {"isolation": "none"})
    modules.put(root, name)
    _has_everything(root, name, "dagster_webserver", "dagster_daemon")


@pytest.mark.parametrize("name", ["sales-report", "notes"])
def test_a_workspace_that_keeps_modules_apart_has_everything_already(
    name: str, tmp_path: Path, modules: Modules
) -> None:
    root = tmp_path / "ws"
    initialize(root)
    modules.put(root, name)
    _has_everything(root, name, "dagster_code")


def test_a_separate_code_server_is_closed_where_modules_are_kept_apart(tmp_path: Path, modules: Modules) -> None:
    """FAULTS A4: it took all of .env, and the whole workspace."""
    root = tmp_path / "ws"
    initialize(root)
    modules.put(root, "forecast")
    given = read_fragments(read_workspace(root), root / settings.PROJECTS / "forecast")
    written = load(root / settings.PROJECTS / "forecast" / settings.FRAGMENTS / "docker-compose.yml")["services"]
    # It is waited for by no container of other modules, which get none of its variables.
    assert [one.path for one in given.contributions["docker-compose.yml"] if one.path[:1] == ("services",)] == [
        ("services",)
    ]
    (body,) = (one.mapping for one in given.contributions["docker-compose.yml"] if one.path == ("services",))
    services = load_lines(body)
    code = services.pop("forecast_code")
    open_ = written.pop("forecast_code")
    assert services == written
    assert "env_file" not in code
    assert code["volumes"][:2] == [
        "../../projects/forecast/src:/workspace/projects/forecast/src:ro",
        "./dagster.yaml:/workspace/services/dagster/dagster.yaml:ro",
    ]
    assert code["volumes"][2:] == open_["volumes"][1:]
    assert code["environment"].items() >= {**open_["environment"], "HOME": "/tmp"}.items()
    assert code["environment"]["DAGSTER_POSTGRES_PASSWORD"] == "${DAGSTER_POSTGRES_PASSWORD}"
    assert [name for name in code["environment"] if "ROOT" in name] == []
    assert (code["cap_drop"], code["read_only"], code["user"]) == (["ALL"], True, "${WORKSPACE_UID}:65534")
    assert code["networks"] == ["workspace-net", "workspace-net-db"]
    unchanged = open_.keys() - {"env_file", "environment", "volumes", "user", "networks"}
    assert {key: code[key] for key in unchanged} == {key: open_[key] for key in unchanged}


def _has_everything(root: Path, name: str, *services: str) -> None:
    given = read_fragments(read_workspace(root), root / settings.PROJECTS / name)
    fragments = root / settings.PROJECTS / name / settings.FRAGMENTS
    snippet, entry = given.contributions["Dockerfile"], given.contributions["workspace.yaml"]
    assert b"\n".join(snippet[0].mapping or ()) == (fragments / "dockerfile.snippet").read_bytes().rstrip(b"\n")
    assert yaml.safe_load(b"\n".join(entry[0].sequence or ())) == load(fragments / "workspace.yaml")["load_from"]
    wanted = load(fragments / "docker-compose.yml") or {}
    slots = {".".join(one.path): load_lines(one.mapping) for one in given.contributions["docker-compose.yml"]}
    code = wanted.pop("x-dagster-code", {})
    assert slots == wanted | {f"services.{service}.{key}": value for service in services for key, value in code.items()}
    assert given.contributions["dagster.yaml"] == []
    assert given.notes == ()


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_bytes())


def load_lines(lines: tuple[bytes, ...] | None) -> Any:
    return yaml.safe_load(b"\n".join(lines or ()))


@pytest.mark.parametrize("name", ["deploy-docker-launcher", "launcher-bare", "launcher-volumes"])
def test_runs_in_containers_get_what_a_module_needs(name: str, tmp_path: Path, modules: Modules, compose: Path) -> None:
    root = laid_out(Case(CASES / name), tmp_path, modules)
    services = added(Case(CASES / name), root)
    after = resolved(compose, root)
    config = load(root / settings.SERVICES / "dagster.yaml")["run_launcher"]["config"]
    variables = {name for name in after.environment(services[0]) if name.startswith("SALES_REPORT_")}
    assert {"SALES_REPORT_DB_HOST", "SALES_REPORT_DB_PASSWORD"} <= variables <= set(config["env_vars"])
    joined = {after.data["networks"][network]["name"] for network in after.networks("sales_report_db")}
    assert joined & {config.get("network"), *config.get("networks", ())}
    mounts = config["container_kwargs"]["volumes"]
    pairs = [entry.split(":")[:2] for entry in mounts] if isinstance(mounts, list) else None
    targets = {target: source for source, target in pairs or ((source, one["bind"]) for source, one in mounts.items())}
    for module in BOTH:
        path = location(root, module.replace("-", "_"))["working_directory"]
        assert targets[path] == str(root / settings.PROJECTS / module / "src")
        folder = f"/tmp/dagster_storage/{module.replace('-', '_')}"
        volume, below = after.mounted(services[0], folder) or ("", "")
        assert targets.get(folder, targets.get("/tmp/dagster_storage")) == after.data["volumes"][volume]["name"]
        assert below in {".", module.replace("-", "_")}


@pytest.mark.parametrize("image", ["example_dagster:latest", "docker.io/library/example_dagster"])
def test_runs_start_in_the_image_however_it_is_written(image: str, tmp_path: Path, modules: Modules) -> None:
    """FAULTS F7: the launcher's image is the one that is built, with a tag and a registry or without."""
    root = laid_out(Case(CASES / "deploy-docker-launcher"), tmp_path, modules)
    file = root / settings.SERVICES / "dagster.yaml"
    file.write_text(file.read_text().replace("image: example_dagster", f"image: {image}"))
    assert not any("its own code server" in note for note in add_module(root, "notes").notes)
    file.write_text(file.read_text().replace(image, "example_dagster:1"))
    (note,) = [note for note in add_module(root, "sales-report").notes if "its own code server" in note]
    assert "starts runs in example_dagster:1, which lacks" in note


def test_the_services_that_a_person_named_are_remembered(tmp_path: Path, modules: Modules) -> None:
    case = Case(CASES / "named-services")
    root = laid_out(case, tmp_path, modules)
    with pytest.raises(BuilderError, match="has no service 'middle'"):
        add_module(root, "notes", code_services=["front", "middle"])
    add_module(root, "notes", code_services=case.code_services)
    add_module(root, "sales-report")
    assert sync(root).outcome.plan.effective == ()

"""The workspace's life on the command line: init, add, remove, list, validate, sync, backups."""

from __future__ import annotations

import json
import re
import shutil
import socket
import stat
from pathlib import Path

import pytest

from dagster_module_builder.base.settings import LAYOUT_FILE
from tests import needs
from tests.cli.terminal import Terminal, copied, everything_in, terminal_in


@pytest.fixture(scope="module")
def with_sales(made: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    terminal = copied(made, terminal_in(tmp_path_factory.mktemp("sales")))
    terminal.done("new", "sales-report", "--database", "postgresql", "--governance", "quick")
    return terminal


@pytest.fixture
def sales(terminal: Terminal, with_sales: Terminal) -> Terminal:
    """A workspace with a module on PostgreSQL under its projects."""
    return copied(with_sales, terminal)


def secrets_of(terminal: Terminal) -> list[str]:
    env = (terminal.root / "projects/sales-report/workspace/local/.env").read_text()
    return re.findall(r"PASSWORD='(.+)'", env)


def test_init_twice_changes_nothing_and_says_so(workspace: Terminal) -> None:
    before = everything_in(workspace.root)
    assert "nothing was changed" in workspace.done("workspace.init")
    assert everything_in(workspace.root) == before


def test_add_and_remove_give_back_every_byte(sales: Terminal) -> None:
    before = sales.shared_files()
    added = sales.done("workspace.add", "sales-report", "--no-check")
    assert re.search(r"changed services/dagster/docker-compose.yml +\+\d+", added)
    assert "Next:" in added
    assert all(sales.shared_files()[name] != before[name] for name in before)
    removed = sales.done("workspace.remove", "sales-report")
    assert re.search(r"changed services/dagster/docker-compose.yml +-\d+", removed)
    assert sales.shared_files() == before


@pytest.fixture
def without_docker(sales: Terminal, tmp_path: Path) -> Terminal:
    """The same, where no Docker was ever installed: there are no volumes to look for."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").symlink_to(needs.program("git"))
    sales.environment["PATH"] = str(programs)
    return sales


#: What a module's database may write to, and what is not the module's own.
MOUNTS = [
    "data/exports/sales",
    "data/shared",
    ".git",
    "exports",
    "data/link",
    "data/storage/other",
    "projects/other/data",
]


def test_data_is_deleted_only_with_a_yes_and_only_the_modules_own(without_docker: Terminal) -> None:
    """FAULTS S9: folders outside data/, others' folders, and what a link leads to stay, whatever a fragment mounts."""
    sales = without_docker
    fragment = sales.root / "projects/sales-report/workspace/local/docker-compose.yml"
    volume = "      - sales_report_db_data:/var/lib/postgresql/data\n"
    mounts = "".join(f"      - ../../{path}:/mnt/{number}\n" for number, path in enumerate(MOUNTS))
    fragment.write_text(fragment.read_text().replace(volume, f"{volume}{mounts}      - ../../data/in:/in:ro\n"))
    sales.done("new", "other", "--database", "postgresql", "--governance", "quick")
    neighbour = sales.root / "projects/other/workspace/local/docker-compose.yml"
    neighbour.write_text(
        neighbour.read_text().replace("    volumes:\n", "    volumes:\n      - ../../data/shared:/shared\n")
    )
    for name in ("sales-report", "other"):
        sales.done("workspace.add", name, "--no-check", "--allow", "sales-report=volumes")
    folders = [*MOUNTS, "data/in", "data/storage/sales_report"]
    (sales.root / "data/link").symlink_to("../.git")
    for folder in folders:
        (sales.root / folder).mkdir(parents=True, exist_ok=True)
        (sales.root / folder / "rows").write_text("precious")
    before = everything_in(sales.root)
    said = sales.refused("workspace.remove", "sales-report", "--delete-data")
    doomed = {str(sales.root / "data/exports/sales"), str(sales.root / "data/storage/sales_report")}
    assert set(re.findall(r"the folder (\S+)$", said, re.MULTILINE)) == doomed
    assert f"Not deleted: {sales.root}/.git, which is not below data/" in said
    assert f"Not deleted: {sales.root}/data/link, because a link leads there" in said
    assert f"Not deleted: {sales.root}/data/shared, which other writes to, too" in said
    assert "--yes" in said
    assert everything_in(sales.root) == before
    sales.done("workspace.remove", "sales-report", "--delete-data", "--yes", "--dry-run")
    assert everything_in(sales.root) == before

    said = sales.done("workspace.remove", "sales-report", "--delete-data", "--yes", "--json")
    answer = json.loads(said)
    assert answer["removed"]
    assert {part.removeprefix("the folder ") for part in answer["deleted"]} == doomed
    gone = [folder for folder in folders if not (sales.root / folder / "rows").exists()]
    assert gone == ["data/exports/sales", "data/storage/sales_report"]


def test_data_of_a_module_that_is_gone_is_listed_and_deleted_later(without_docker: Terminal) -> None:
    """FAULTS B8: the registry remembers where a module stored; stored assets are found without it, too."""
    sales = without_docker
    fragment = sales.root / "projects/sales-report/workspace/local/docker-compose.yml"
    fragment.write_text(fragment.read_text().replace("    volumes:\n", "    volumes:\n      - ../../data/out:/out\n"))
    sales.done("workspace.add", "sales-report", "--no-check")
    folders = [sales.root / "data/out", sales.root / "data/storage/sales_report", sales.root / "data/storage/earlier"]
    for folder in folders:
        folder.mkdir(parents=True)
    sales.done("workspace.remove", "sales-report")
    shutil.rmtree(sales.root / "projects/sales-report")

    assert "Delete its data with" in sales.refused("workspace.remove", "sales-report")
    listed = json.loads(sales.done("workspace.list", "--data", "--json"))["data"]
    assert [(one["module"], one["data"]) for one in listed] == [
        ("earlier", [f"the folder {folders[2]}"]),
        ("sales_report", [f"the folder {folders[0]}", f"the folder {folders[1]}"]),
    ]
    assert "workspace.remove earlier --delete-data" in sales.done("workspace.list", "--data")
    for name in ("sales-report", "earlier"):
        sales.done("workspace.remove", name, "--delete-data", "--yes")
    assert not any(folder.exists() for folder in folders)
    assert (sales.root / "data/storage").is_dir()
    assert "has no data left" in sales.refused("workspace.remove", "earlier", "--delete-data", "--yes")
    assert "No module has stored any data." in sales.done("workspace.list", "--data")
    assert "left_behind" not in (sales.root / "services/dagster/modules/.registry").read_text()


def test_another_spelling_deletes_nothing(without_docker: Terminal) -> None:
    """FAULTS S9: the data of a module in the workspace is not the leavings of one that is called almost the same."""
    without_docker.done("workspace.add", "sales-report", "--no-check")
    (without_docker.root / "data/storage/sales_report").mkdir(parents=True)
    said = without_docker.refused("workspace.remove", "sales_report", "--delete-data", "--yes")
    assert "Did you mean 'sales-report'?" in said
    assert (without_docker.root / "data/storage/sales_report").is_dir()


def test_a_module_without_volumes_needs_no_docker(workspace: Terminal) -> None:
    """FAULTS B9: an engine that does not answer is in the way of volumes only."""
    needs.programs("docker")
    workspace.done("new", "weather", "--database", "none", "--governance", "quick")
    workspace.done("workspace.add", "weather", "--no-check")
    stored = workspace.root / "data/storage/weather"
    stored.mkdir(parents=True)
    workspace.environment["DOCKER_HOST"] = f"unix://{workspace.root}/no.sock"
    result = workspace.run("workspace.remove", "weather", "--delete-data", "--yes")
    assert result.returncode == 0, result.stderr
    assert "Not deleted: what it stored in containers, if anything" in result.stderr
    assert not stored.exists()


def test_data_is_not_deleted_where_no_engine_answers(sales: Terminal) -> None:
    needs.programs("docker")
    sales.done("workspace.add", "sales-report", "--no-check")
    before = everything_in(sales.root)
    sales.environment["DOCKER_HOST"] = f"unix://{sales.root}/no.sock"
    said = sales.refused("workspace.remove", "sales-report", "--delete-data", "--yes")
    assert "Docker does not answer. Start it" in said
    assert everything_in(sales.root) == before


def test_add_takes_a_path_too(sales: Terminal) -> None:
    sales.done("workspace.add", str(sales.root / "projects/sales-report"), "--no-check")
    assert '"integrated": true' in sales.done("workspace.list", "--json")


def test_a_module_elsewhere_is_moved_only_when_told(sales: Terminal, tmp_path: Path) -> None:
    elsewhere = tmp_path / "sales-report"
    shutil.move(sales.root / "projects/sales-report", elsewhere)
    assert "--move" in sales.refused("workspace.add", str(elsewhere), "--no-check")
    assert elsewhere.is_dir()
    sales.done("workspace.add", str(elsewhere), "--move", "--no-check")
    assert not elsewhere.exists()
    assert (sales.root / "projects/sales-report/pyproject.toml").is_file()


def test_a_refused_module_is_moved_back(sales: Terminal, tmp_path: Path) -> None:
    elsewhere = tmp_path / "sales-report"
    shutil.move(sales.root / "projects/sales-report", elsewhere)
    (elsewhere / "workspace/local/.env").write_text("DAGSTER_PORT='1'\n")
    before = everything_in(elsewhere)
    assert "DAGSTER_PORT" in sales.refused("workspace.add", str(elsewhere), "--move", "--no-check")
    assert everything_in(elsewhere) == before


def test_a_dry_run_shows_the_diff_without_secrets_and_changes_nothing(sales: Terminal) -> None:
    before = everything_in(sales.root)
    shown = sales.done("workspace.add", "sales-report", "--dry-run", "--no-check")
    assert re.search(r"^# \S+/\.registry: \+8 -0, ", shown, re.MULTILINE)
    assert "integrated_modules" not in shown
    assert "+SALES_REPORT_DB_PASSWORD=…" in shown
    assert "+SALES_REPORT_DB_PORT='54" in shown
    assert secrets_of(sales)
    assert not any(secret in shown for secret in secrets_of(sales))
    assert everything_in(sales.root) == before


def test_secrets_stay_readable_by_their_owner_alone(sales: Terminal) -> None:
    sales.done("workspace.add", "sales-report", "--no-check")
    holders = [
        path
        for path in sales.root.rglob("*")
        if path.is_file() and any(s.encode() in path.read_bytes() for s in secrets_of(sales))
    ]
    assert len(holders) >= 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda t: t.done("workspace.add", "sales-report", "--no-check"),
            "Remove it first: 'workspace.remove sales-report'",
        ),
        (lambda t: shutil.rmtree(t.root / "projects/sales-report"), "No module 'sales-report'"),
        (lambda t: shutil.rmtree(t.root / "projects/sales-report/workspace"), "has no workspace/local/"),
        (lambda t: (t.root / "services/dagster/workspace.yaml").unlink(), "which does not exist"),
        (
            lambda t: [(t.root / name).unlink() for name in ("services/dagster/workspace.yaml", LAYOUT_FILE)],
            "Create one with 'workspace.init'",
        ),
    ],
    ids=["integrated", "missing", "no fragments", "no workspace file", "no workspace"],
)
def test_what_cannot_be_added_is_refused_with_the_way_out(sales: Terminal, spoil, reason: str) -> None:
    spoil(sales)
    assert reason in sales.refused("workspace.add", "sales-report", "--no-check")


def test_no_workspace_is_said_and_none_is_begun(terminal: Terminal) -> None:
    for line in (["workspace.list"], ["workspace.add", "sales"], ["new", "sales"], ["workspace.validate"]):
        assert "workspace.init" in terminal.refused(*line)
    assert not terminal.root.exists()


def test_missing_templates_are_a_clear_error(terminal: Terminal) -> None:
    site = terminal.cwd / "site"
    shutil.copytree(Path(__file__).parents[2] / "dagster_module_builder", site / "dagster_module_builder")
    terminal.environment["PYTHONPATH"] = str(site)
    assert "Templates not found" in terminal.refused("workspace.init")


def test_list_tells_integrated_from_others(sales: Terminal) -> None:
    sales.done("new", "other", "--starter", "empty", "--database", "duckdb")
    sales.done("workspace.add", "sales-report", "--no-check")
    modules = {one["name"]: one for one in json.loads(sales.done("workspace.list", "--json"))["modules"]}
    assert (modules["other"]["integrated"], modules["sales-report"]["integrated"]) == (False, True)
    assert (modules["other"]["database"], modules["sales-report"]["database"]) == ("duckdb", "postgresql")
    assert modules["other"]["template_version"] == modules["sales-report"]["template_version"]
    assert "sales-report  integrated" in sales.done("workspace.list")


def test_two_databases_never_get_one_port(sales: Terminal) -> None:
    sales.done("new", "other", "--database", "mysql", "--governance", "quick")
    envs = [(sales.root / f"projects/{name}/workspace/local/.env").read_text() for name in ("sales-report", "other")]
    first, second = (re.search(r"DB_PORT='(\d+)'", env)[1] for env in envs)
    assert first != second


def test_a_port_that_another_module_has_is_refused(sales: Terminal) -> None:
    port = re.search(r"DB_PORT='(\d+)'", (sales.root / "projects/sales-report/workspace/local/.env").read_text())[1]
    before = everything_in(sales.root / "projects")
    assert f"The port {port} is taken" in sales.refused("new", "other", "--database", "mysql", "--port", port)
    assert everything_in(sales.root / "projects") == before


def test_validate_finds_what_is_wrong_and_names_the_cure(sales: Terminal) -> None:
    sales.done("workspace.add", "sales-report", "--no-check")
    assert sales.done("workspace.validate", "--no-check").strip() == "No problems found."
    compose = sales.root / "services/dagster/docker-compose.yml"
    compose.write_text(
        compose.read_text().replace("      SALES_REPORT_DB_HOST: sales_report_db\n", "      EDITED: x\n", 1)
    )
    result = sales.run("workspace.validate", "--no-check", "--json")
    findings = json.loads(result.stdout)["findings"]
    assert result.returncode == 1
    assert [finding["message"] for finding in findings if finding["severity"] == "error"] == [
        "the block of 'sales_report' was edited by hand"
    ]
    assert re.search(r"docker-compose\.yml:\d+$", findings[0]["where"])
    assert "workspace.sync --force" in findings[0]["fix"]


def test_an_edited_block_is_not_removed_without_force(sales: Terminal) -> None:
    before = sales.shared_files()
    sales.done("workspace.add", "sales-report", "--no-check")
    env = sales.root / "services/dagster/.env"
    env.write_text(env.read_text().replace("SALES_REPORT_DB_NAME='sales_report'", "SALES_REPORT_DB_NAME='mine'"))
    edited = everything_in(sales.root)
    assert "was edited by hand" in sales.refused("workspace.remove", "sales-report")
    assert everything_in(sales.root) == edited
    sales.done("workspace.remove", "sales-report", "--force")
    assert sales.shared_files() == before


def test_a_damaged_registry_is_an_error_with_the_way_back(sales: Terminal) -> None:
    sales.done("workspace.add", "sales-report", "--no-check")
    sales.done("workspace.sync", "--no-check")
    registry = sales.root / "services/dagster/modules/.registry"
    good = registry.read_bytes()
    sales.done("new", "other", "--governance", "quick")
    sales.done("workspace.add", "other", "--no-check")
    registry.write_text("{")
    assert "workspace.restore" in sales.refused("workspace.list")
    newest = json.loads(sales.done("workspace.backups", "--json"))["backups"][-1]["identity"]
    sales.done("workspace.restore", newest, "--yes")
    assert registry.read_bytes() == good


def test_sync_brings_everything_in_and_then_writes_nothing(sales: Terminal) -> None:
    sales.done("new", "other", "--governance", "quick")
    assert "workspace.sync" in sales.refused("workspace.sync", "--check")
    sales.done("workspace.sync", "--no-check")
    before = {path: path.stat().st_mtime_ns for path in (sales.root / "services").rglob("*") if path.is_file()}
    assert "the shared files are up to date" in sales.done("workspace.sync", "--no-check")
    after = {path: path.stat().st_mtime_ns for path in (sales.root / "services").rglob("*") if path.is_file()}
    assert {path.name for path in after if after[path] != before.get(path)} <= {".lock"}
    sales.done("workspace.sync", "--check")


def test_sync_prunes_only_when_told(sales: Terminal) -> None:
    before = sales.shared_files()
    sales.done("workspace.sync", "--no-check")
    shutil.rmtree(sales.root / "projects/sales-report")
    assert "--prune" in sales.run("workspace.sync", "--no-check").stderr
    assert sales.shared_files() != before
    sales.done("workspace.sync", "--prune", "--no-check")
    assert sales.shared_files() == before


def test_restore_puts_files_back_and_is_itself_backed_up(sales: Terminal) -> None:
    before = sales.shared_files()
    sales.done("workspace.add", "sales-report", "--no-check")
    added = sales.shared_files()
    (identity,) = [one["identity"] for one in json.loads(sales.done("workspace.backups", "--json"))["backups"]]
    assert "Not running in a terminal: pass --yes" in sales.refused("workspace.restore", identity)
    assert sales.shared_files() == added
    shown = sales.done("workspace.restore", identity, "--yes")
    assert sales.shared_files() == before
    assert not any(secret in shown for secret in secrets_of(sales))
    newest = json.loads(sales.done("workspace.backups", "--json"))["backups"][-1]["identity"]
    sales.done("workspace.restore", newest, "--yes")
    assert sales.shared_files() == added


@pytest.mark.parametrize("lost", ["# BEGIN: sales_report", "# END: sales_report"])
@pytest.mark.parametrize("file", [".env", "docker-compose.yml", "workspace.yaml"])
def test_a_lost_marker_is_refused_then_mended_after_a_shown_diff(sales: Terminal, file: str, lost: str) -> None:
    before = sales.shared_files()
    sales.done("workspace.add", "sales-report", "--no-check")
    added = sales.shared_files()
    path = sales.root / "services/dagster" / file
    lines = added[file].decode().splitlines(keepends=True)
    gone = next(number for number, line in enumerate(lines) if line.strip() == lost)
    path.write_text("".join(lines[:gone] + lines[gone + 1 :]))
    damaged = everything_in(sales.root)
    said = sales.refused("workspace.remove", "sales-report")
    assert re.search(rf"{re.escape(file)}:\d+: a marker without its partner", said)
    assert "--repair" in said
    assert f"+{lines[gone].rstrip()}" in sales.done("workspace.sync", "--repair", "--dry-run").splitlines()
    sales.refused("workspace.sync", "--repair")
    assert everything_in(sales.root) == damaged
    sales.done("workspace.sync", "--repair", "--yes", "--no-check")
    assert sales.shared_files() == added
    sales.done("workspace.remove", "sales-report")
    assert sales.shared_files() == before


def test_every_finding_names_its_place_and_its_cure(sales: Terminal) -> None:
    sales.done("new", "other", "--database", "mysql", "--governance", "quick")
    sales.done("workspace.sync", "--no-check")
    services = sales.root / "services/dagster"
    registry = json.loads((services / "modules/.registry").read_text())
    ports = {one["name"]: one["database"]["port"] for one in registry["integrated_modules"]}
    with (services / ".env").open("a") as env:
        env.write("OTHER_DB_NAME='twice'\n")
    (services / "workspace.yaml").write_text(
        (services / "workspace.yaml").read_text() + "# BEGIN: ghost\n# END: ghost\n"
    )
    compose = (services / "docker-compose.yml").read_text()
    extra = f'    ports:\n      - "127.0.0.1:{ports["other"]}:1"\n    ports:\n'
    (services / "docker-compose.yml").write_text(compose.replace("    ports:\n", extra, 1))
    (services / ".env").chmod(0o644)
    shutil.rmtree(sales.root / "projects/sales-report")
    result = sales.run("workspace.validate", "--no-check", "--json")
    findings = json.loads(result.stdout)["findings"]
    assert result.returncode == 1
    found = "\n".join(finding["message"] for finding in findings)
    for expected in (
        "variable OTHER_DB_NAME is claimed by the workspace and other",
        "a block of 'ghost', which is not in the registry",
        "the key 'ports' is repeated",
        "others can read the secrets",
        "the folder of 'sales-report' is gone",
    ):
        assert expected in found
    assert all(finding["where"].startswith(str(sales.root)) and finding["fix"] for finding in findings)
    placed = [finding for finding in findings if re.search(r":\d+$", finding["where"])]
    assert len(placed) >= 3


def test_dev_says_nothing_of_preparing_where_it_is_refused(workspace: Terminal) -> None:
    """FAULTS E3: a taken port is refused before anything is announced."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = workspace.run("workspace.dev", "--port", str(server.getsockname()[1]))
    assert (result.returncode, result.stdout) == (1, "")
    assert "is taken by another program" in result.stderr
    assert "Preparing" not in result.stderr

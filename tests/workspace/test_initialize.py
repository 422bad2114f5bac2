"""An empty workspace: made once, in any folder, without touching existing files."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from dagster_module_builder import module_servers
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import DEFAULTS, FILE, layout_of
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE, template_folder
from dagster_module_builder.workspaces.initialize import initialize, project_name
from dagster_module_builder.workspaces.layout_file import text_of

EXPECTED = {
    ".dockerignore",
    ".gitignore",
    "README.md",
    "data/.gitignore",
    "projects/.gitkeep",
    *(
        f"services/dagster/{name}"
        for name in (
            ".env",
            ".gitignore",
            "Dockerfile",
            "constraints.lock",
            "constraints.txt",
            "dagster.yaml",
            "database.sh",
            "docker-compose.yml",
            "health.py",
            "modules/.gitignore",
            "workspace.yaml",
            *(f"module_servers/{path.name}" for path in Path(module_servers.__file__).parent.glob("*.py")),
        )
    ),
    "dagster-module-builder.ini",
}

#: Made beside what the template has, and of each workspace's own.
KEY = "services/dagster/modules/.key"


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def env(root: Path) -> dict[str, str | None]:
    return dotenv_values(root / "services/dagster/.env", interpolate=False)


def test_a_workspace_is_made_where_nothing_was(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "ws"
    report = initialize(root)
    assert set(tree(root)) == EXPECTED | {KEY}
    assert {str(path.relative_to(root)) for path in report.made} == EXPECTED | {KEY}
    assert report.changed
    assert [path.name for path in root.parent.iterdir()] == ["ws"]


def test_the_env_file_is_for_its_owner_and_has_a_password_of_its_own(tmp_path: Path) -> None:
    initialize(tmp_path / "a")
    initialize(tmp_path / "b")
    assert (tmp_path / "a/services/dagster/.env").stat().st_mode & 0o777 == 0o600
    first, second = env(tmp_path / "a"), env(tmp_path / "b")
    assert len(first["DAGSTER_POSTGRES_PASSWORD"] or "") >= 32
    assert first["DAGSTER_POSTGRES_PASSWORD"] != second["DAGSTER_POSTGRES_PASSWORD"]
    assert (first["WORKSPACE_UID"], first["WORKSPACE_GID"]) == (str(os.getuid()), str(os.getgid()))
    assert first["COMPOSE_PROJECT_NAME"] == "a"


def test_run_twice_it_changes_nothing_and_says_so(tmp_path: Path) -> None:
    initialize(tmp_path)
    before = tree(tmp_path)
    report = initialize(tmp_path, {"port": "4000"})
    assert not report.changed
    assert tree(tmp_path) == before


def test_answers_arrive(tmp_path: Path) -> None:
    answers = {
        "port": "3100",
        "network": "other-net",
        "python_image": "reg.example:5000/py@sha256:ab",
        "postgres_image": "pg:17",
    }
    initialize(tmp_path, answers)
    found = env(tmp_path)
    assert found["DAGSTER_PORT"] == "3100"
    assert found["WORKSPACE_NETWORK"] == "other-net"
    assert found["PYTHON_IMAGE"] == "reg.example:5000/py@sha256:ab"
    assert found["POSTGRES_IMAGE"] == "pg:17"


@pytest.mark.parametrize(
    "answers",
    [
        {"port": "0"},
        {"port": "65536"},
        {"port": "3000x"},
        {"network": "a b"},
        {"network": "x'"},
        {"project": "Upper"},
        {"python_image": ""},
    ],
)
def test_an_answer_that_cannot_work_is_refused_and_nothing_is_left(tmp_path: Path, answers: dict[str, str]) -> None:
    (question,) = answers
    with pytest.raises(RefusedError, match=f"^{question}: "):
        initialize(tmp_path / "deep/ws", answers)
    assert list(tmp_path.iterdir()) == []


def test_other_files_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "services/other").mkdir(parents=True)
    (tmp_path / "projects/mine").mkdir(parents=True)
    mine = {".gitignore": b"mine\r\n", "projects/mine/file": b"\0", "services/other/x": b"", "README.md": b"# Mine"}
    for name, content in mine.items():
        (tmp_path / name).write_bytes(content)
    report = initialize(tmp_path)
    after = tree(tmp_path)
    assert {name: after[name] for name in mine} == mine
    assert [path.name for path in report.kept] == [".gitignore", "README.md", "projects"]
    assert {str(path.relative_to(tmp_path)) for path in report.made} == set(after) - set(mine)
    assert "services/dagster/workspace.yaml" in after


def test_services_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "services/dagster").mkdir(parents=True)
    with pytest.raises(RefusedError, match=r"workspace\.yaml"):
        initialize(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["services"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ws").write_text("mine")
    with pytest.raises(RefusedError, match="not a folder"):
        initialize(tmp_path / "ws")
    assert (tmp_path / "ws").read_text() == "mine"


def test_a_move_that_fails_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = Path.rename

    def rename_but_not_projects(self: Path, target: Path) -> Path:
        if self.name == "projects":
            raise OSError("no space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_but_not_projects)
    with pytest.raises(OSError, match="no space"):
        initialize(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "project"),
    [("workspace", "workspace"), ("My Wörk", "my-work"), ("_x_", "x"), ("日本", "workspace"), ("a.b", "a-b")],
)
def test_the_project_is_called_as_its_folder(folder: str, project: str) -> None:
    assert project_name(Path("/srv") / folder) == project


def test_yaml_files_load_and_every_variable_is_defined(tmp_path: Path) -> None:
    initialize(tmp_path)
    services = tmp_path / "services/dagster"
    assert yaml.safe_load((services / "workspace.yaml").read_text()) == {"load_from": []}
    compose = yaml.safe_load((services / "docker-compose.yml").read_text())
    assert list(compose["services"]) == [
        "dagster_postgres", "dagster_migrate", "dagster_code", "dagster_webserver", "dagster_daemon",
    ]  # fmt: skip
    used = set(re.findall(r"(?<!\$)\$\{(\w+)\}", (services / "docker-compose.yml").read_text()))
    assert used <= set(env(tmp_path))
    instance = yaml.safe_load((services / "dagster.yaml").read_text())
    assert instance["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"


@pytest.mark.parametrize("answers", [{"isolation": "none"}, {"run_launcher": "docker"}])
def test_without_isolation_nothing_of_it_is_made(tmp_path: Path, answers: dict[str, str]) -> None:
    initialize(tmp_path, answers)
    services = tmp_path / "services/dagster"
    compose = yaml.safe_load((services / "docker-compose.yml").read_text())
    assert list(compose["services"]) == ["dagster_postgres", "dagster_migrate", "dagster_webserver", "dagster_daemon"]
    assert list(compose["networks"]) == ["workspace-net"]
    assert [path.name for path in services.iterdir() if path.name in {"database.sh", "module_servers"}] == []
    assert [name for name in env(tmp_path) if "ROOT" in name or "MEMORY" in name] == []


def test_git_takes_no_secret_and_no_data(tmp_path: Path) -> None:
    initialize(tmp_path)
    backups = tmp_path / "services/dagster/modules/backups"
    backups.mkdir()
    (tmp_path / ".native").mkdir()
    for path in (backups / ".env", tmp_path / "data/big", tmp_path / ".native/x", services_registry(tmp_path)):
        path.write_text("x")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    listed = subprocess.run(
        ["git", "-C", tmp_path, "ls-files", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert set(listed) == EXPECTED - {"services/dagster/.env"} | {"services/dagster/modules/.registry"}


def services_registry(root: Path) -> Path:
    return root / "services/dagster/modules/.registry"


def test_cookiecutter_renders_the_template_by_hand(tmp_path: Path) -> None:
    template = template_folder(WORKSPACE_TEMPLATE)
    environment = {**os.environ, "HOME": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-m", "cookiecutter", "--no-input", "-o", tmp_path / "out", template, "name=by-hand"],
        check=True,
        env=environment,
    )
    assert set(tree(tmp_path / "out/by-hand")) == EXPECTED
    assert env(tmp_path / "out/by-hand")["COMPOSE_PROJECT_NAME"] == "by-hand"
    replay = (tmp_path / ".cookiecutter_replay/cookiecutter-dagster-workspace.json").read_text()
    assert (env(tmp_path / "out/by-hand")["DAGSTER_POSTGRES_PASSWORD"] or "") not in replay


def test_two_workspaces_made_with_defaults_share_nothing(tmp_path: Path) -> None:
    """FAULTS E1: projects, networks and ports of two folders of one name never meet, though neither runs yet."""
    found = []
    for folder in ("a", "b"):
        initialize(root := tmp_path / folder / "workspace")
        found.append(env_file.values((root / "services/dagster/.env").read_bytes()))
    for name in ("COMPOSE_PROJECT_NAME", "WORKSPACE_NETWORK", "DAGSTER_PORT"):
        assert found[0][name] != found[1][name], name
    assert found[0]["WORKSPACE_NETWORK"] == "workspace-net"


def test_the_file_that_says_where_everything_is_says_what_a_workspace_without_it_has(tmp_path: Path) -> None:
    initialize(tmp_path)
    # As in an adopted workspace, the key that only dg workspaces need is left out.
    assert (tmp_path / FILE).read_bytes() == text_of({key: DEFAULTS[key] for key in DEFAULTS if key != "dg-file"})
    before = layout_of(tmp_path)
    (tmp_path / FILE).unlink()
    assert layout_of(tmp_path).values == before.values

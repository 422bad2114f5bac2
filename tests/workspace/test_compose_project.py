"""What Compose is asked about beforehand is the very project that is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.base.errors import ConflictError, DamagedFileError
from dagster_module_builder.compose.compose_project import project_of, redefined
from dagster_module_builder.health.validate import validate
from dagster_module_builder.programs import compose_command
from dagster_module_builder.workspaces import external_checks
from dagster_module_builder.workspaces.add import add_module
from tests.e2e.engine import compose_program
from tests.engine.folders import ENV, FIRST_PORT, make_module, make_workspace, shared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PORT = f'services: {{page: {{image: nginx, ports: ["{FIRST_PORT}:80"]}}}}\n'
SERVICE = "services: {sales_db: {image: redis}}\n"
TWEAK = "services: {sales_db: {mem_limit: 1g}}\n"

#: A file of the project, its content, what ``.env`` gets, and what is said of it.
OTHERS = {
    "an override takes the port": ("docker-compose.override.yml", PORT, b"", f"host port {FIRST_PORT} is published"),
    "another name of it": ("compose.override.yaml", PORT, b"", f"host port {FIRST_PORT} is published"),
    "an override replaces the service": ("docker-compose.override.yml", SERVICE, b"", "replaces the service sales_db"),
    "COMPOSE_FILE": ("more.yml", PORT, b"COMPOSE_FILE='docker-compose.yml:more.yml'\n", f"host port {FIRST_PORT}"),
    "a profile that is on": (
        "docker-compose.override.yml",
        PORT.replace("image: nginx", "image: nginx, profiles: [extra]"),
        b"COMPOSE_PROFILES='extra'\n",
        f"host port {FIRST_PORT} is published",
    ),
    "a file of a higher rank": ("compose.yaml", PORT, b"", "Compose does not read this file"),
}


@pytest.fixture(autouse=True)
def _compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have Compose, and nothing that an engine is needed for."""
    (programs := tmp_path / "bin").mkdir()
    (programs / "docker-compose").symlink_to(compose_program())
    monkeypatch.setenv("PATH", str(programs))
    compose_command.program.cache_clear()
    yield
    compose_command.program.cache_clear()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = make_workspace(tmp_path / "ws", env=ENV + b"COMPOSE_PROJECT_NAME='ws'\n")
    make_module(root, "sales")
    return root


def put(root: Path, name: str, text: str, env: bytes = b"") -> None:
    (root / "services/dagster" / name).write_text(text)
    with (root / "services/dagster/.env").open("ab") as file:
        file.write(env)


@pytest.mark.parametrize(("name", "text", "env", "said"), OTHERS.values(), ids=OTHERS)
def test_what_another_file_takes_from_a_module_is_refused_and_found(
    root: Path, name: str, text: str, env: bytes, said: str
) -> None:
    """FAULTS C3: override files, COMPOSE_FILE and profiles count for `add` and `validate` as they do for `up`."""
    put(root, name, text, env)
    before = shared(root)
    with pytest.raises(ConflictError, match=said):
        add_module(root, "sales", checks=[external_checks.compose_accepts])
    assert shared(root) == before

    add_module(root, "sales")
    errors = [str(finding) for finding in validate(root) if finding.severity == "error"]
    assert any(said in error for error in errors), errors


def test_an_included_file_is_part_of_the_project(root: Path) -> None:
    """FAULTS C3: the host ports of an included file count."""
    file = root / "services/dagster/docker-compose.yml"
    file.write_text("include: [more.yml]\n" + file.read_text())
    put(root, "more.yml", PORT)
    with pytest.raises(ConflictError, match=rf"host port {FIRST_PORT} is published by page and sales_db"):
        add_module(root, "sales", checks=[external_checks.compose_accepts])


@pytest.mark.parametrize(
    ("text", "env"),
    [
        (TWEAK, b""),
        (PORT.replace("image: nginx", "image: nginx, profiles: [extra]"), b""),
        (PORT.replace(f'"{FIRST_PORT}:', f'"{FIRST_PORT + 1}:'), b""),
        ("services: {sales_db: {ports: !reset []}}\n", b""),
    ],
    ids=["a setting of its service", "a profile that is off", "another port", "a port taken back"],
)
def test_what_takes_nothing_from_a_module_is_accepted(root: Path, text: str, env: bytes) -> None:
    put(root, "docker-compose.override.yml", text, env)
    add_module(root, "sales", checks=[external_checks.compose_accepts])
    assert [finding for finding in validate(root) if finding.severity == "error"] == []


def test_the_shell_has_no_say_in_what_the_env_file_sets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS C3: Compose prefers the shell's variables, so one of the same name would start something unchecked."""
    monkeypatch.setenv("DAGSTER_PORT", "1")
    monkeypatch.setenv("COMPOSE_FILE", "elsewhere.yml")
    monkeypatch.setenv("ELSEWHERE", "kept")
    project = project_of(root)
    assert {"DAGSTER_PORT", "COMPOSE_FILE"}.isdisjoint(project.environment)
    assert project.environment["ELSEWHERE"] == "kept"
    assert project.files == [root / "services/dagster/docker-compose.yml"]


@pytest.mark.parametrize("text", ["services: [\n", "x-since: 2024-13-45\n", "? [a]\n: {b: !!float x}\n", "\x01\n"])
def test_another_file_that_is_no_yaml_is_named_with_its_line(root: Path, text: str) -> None:
    """Compose may read what this program's reader does not: YAML 1.2, where that knows 1.1."""
    put(root, "docker-compose.override.yml", text)
    with pytest.raises(DamagedFileError, match=r"docker-compose\.override\.yml.*Fix it by hand"):
        list(redefined(project_of(root), {}))

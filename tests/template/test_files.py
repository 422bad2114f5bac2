"""The files of a rendered module: their modes, secrets, links and record."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from dotenv import dotenv_values

from dagster_module_builder.base import names, ports
from tests import needs
from tests.template.copies import COPIES
from tests.template.rendering import LOCK, REPOSITORY, TEMPLATE, Desk, checkout, tree

PASSWORD = "given, $ecret # and 'not' said".replace("'", "")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_env_file_is_its_owner_s_alone_and_ignored_by_git(desk: Desk):
    needs.program("git")
    rendering = desk.rendered(database="postgresql")
    subprocess.run(["git", "init", "-q", rendering.module], check=True, env=desk.environment())

    listed = subprocess.run(
        ["git", "-C", rendering.module, "status", "--porcelain", "--untracked-files=all"],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env=desk.environment(),
    ).stdout

    assert mode(rendering.module / "workspace/local/.env") == 0o600
    assert "workspace/local/.env" not in listed
    assert ".env.example" in listed
    assert mode(rendering.module / "pyproject.toml") & 0o111 == 0


@pytest.mark.parametrize("database", ["postgresql", "mysql"])
def test_generated_secrets_are_long_and_never_the_same(desk: Desk, database: str):
    first = dotenv_values(desk.rendered("one", database=database).module / "workspace/local/.env")
    second = dotenv_values(desk.rendered("two", database=database).module / "workspace/local/.env")

    secrets = [
        value
        for values in (first, second)
        for key, value in values.items()
        if key.endswith("PASSWORD") and value is not None
    ]
    assert len(secrets) == len(set(secrets)) == (2 if database == "postgresql" else 4)
    assert all(len(secret) >= 32 for secret in secrets)


@pytest.mark.parametrize("database", ["postgresql", "mysql"])
def test_a_given_password_stands_in_the_env_file_and_nowhere_else(desk: Desk, database: str):
    rendering = desk.render(database=database, environment={"MODULE_DATABASE_PASSWORD": PASSWORD})

    assert rendering.returncode == 0, rendering.stderr
    assert dotenv_values(rendering.module / "workspace/local/.env")["SALES_REPORT_DB_PASSWORD"] == PASSWORD
    holding = [path for path, content in tree(desk.root).items() if content and PASSWORD.encode() in content]
    assert holding == ["here/sales-report/workspace/local/.env"]
    assert PASSWORD not in rendering.stdout + rendering.stderr


def test_no_generated_secret_is_left_in_the_replay_or_temporary_folder(desk: Desk):
    rendering = desk.rendered(database="mysql")
    values = dotenv_values(rendering.module / "workspace/local/.env")

    for key in ("SALES_REPORT_DB_PASSWORD", "SALES_REPORT_DB_ROOT_PASSWORD"):
        holding = [
            path for path, content in tree(desk.root).items() if content and str(values[key]).encode() in content
        ]
        assert holding == ["here/sales-report/workspace/local/.env"]


@pytest.mark.parametrize("database", ["none", "postgresql", "mysql", "duckdb"])
@pytest.mark.parametrize("governance", ["standard", "enterprise"])
def test_the_example_explains_every_variable_and_gives_no_secret(desk: Desk, database: str, governance: str):
    rendering = desk.rendered(database=database, governance=governance)
    example = rendering.text(".env.example")
    wanted = set(dotenv_values(rendering.module / "workspace/local/.env"))
    code = "".join(path.read_text("utf-8") for path in rendering.package.glob("*.py"))

    assert set(dotenv_values(stream=io.StringIO(example))) == wanted
    for variable in {*wanted, *re.findall(r'"((?:SALES_REPORT|DAGSTER)_[A-Z_]+[A-Z])"', code)}:
        assert variable in example
        assert f"`{variable}`" in rendering.text("README.md")
    assert not [key for key in wanted if key.endswith(("_DB_HOST", "STORAGE_DIR"))]


def test_the_answers_and_the_template_s_version_are_recorded(desk: Desk):
    rendering = desk.rendered(database="postgresql", requires_pdf="yes", database_port="5555")
    record = json.loads(rendering.text(".dagster-module.json"))

    assert set(record) == {"template_version", "answers"}
    assert record["template_version"] == (TEMPLATE / "VERSION").read_text().strip()
    assert record["answers"]["name"] == "sales-report"
    assert record["answers"]["requires_pdf"] is True
    assert record["answers"]["database_port"] == "5555"
    assert not [key for key in record["answers"] if "password" in key or key.startswith("_")]


def test_the_changelog_has_the_version():
    assert f"## {(TEMPLATE / 'VERSION').read_text().strip()}\n" in (TEMPLATE / "CHANGELOG.md").read_text()


def test_what_is_delivered_in_several_places_is_written_once():
    """FAULTS E9: copies are refreshed by ``python -m tests.template.copies``."""
    differing = [
        copy
        for copy, source in COPIES.items()
        if (REPOSITORY / copy).read_bytes() != (REPOSITORY / source).read_bytes()
    ]
    assert differing == []


def test_no_link_is_delivered():
    """FAULTS E9: archives and checkouts on Windows have none."""
    parts = ("cookiecutter-dagster-module", "cookiecutter-dagster-workspace", "deploy_strategies")
    assert [path for part in parts for path in (REPOSITORY / part).rglob("*") if path.is_symlink()] == []


def test_a_module_is_rendered_from_an_archive(tmp_path: Path):
    """FAULTS E9: cookiecutter archive.zip --directory cookiecutter-dagster-module."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("repository/", "")
        for path in sorted(TEMPLATE.rglob("*")):
            # As tools write an archive: a link is its target's path.
            name = Path("repository") / path.relative_to(REPOSITORY)
            if path.is_symlink():
                packed.writestr(str(name), str(path.readlink()))
            elif path.is_file() and "__pycache__" not in path.parts:
                packed.write(path, name)
    done = subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(archive), "--directory", TEMPLATE.name, "--no-input",
         "--output-dir", str(tmp_path), "name=sales"],
        env={**os.environ, "HOME": str(tmp_path), "DAGSTER_WORKSPACE": str(tmp_path / "none")},
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "sales/src/sales_dagster/definitions.py").is_file()


def test_the_module_and_the_workspace_have_one_lock(desk: Desk):
    assert (desk.rendered().module / "constraints.txt").read_bytes() == LOCK.read_bytes()


def test_the_lock_names_no_place_and_no_index():
    text = LOCK.read_text()

    assert not re.search(r"^-|://|/", text, re.MULTILINE)
    assert all("==" in line for line in text.splitlines())


def test_the_next_steps_are_printed_exactly(desk: Desk):
    rendering = desk.rendered()

    assert f"  dagster-module-builder workspace.add {rendering.module} --move\n" in rendering.stderr
    assert "  dagster-module-builder configure-deployment sales-report\n" in rendering.stderr


def test_a_module_in_its_place_is_added_by_name(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    places = os.environ["PATH"].split(os.pathsep)
    without = [place for place in places if not Path(place, "dagster-module-builder").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join(without))
    here = desk.workspace / "projects"
    here.mkdir()
    (desk.root / "here").rmdir()
    (desk.root / "here").symlink_to(here)

    said = desk.rendered(deployment="no").stderr

    assert "Next:\n  dagster-module-builder workspace.add sales-report\n" in said
    assert "is not on PATH. Install it with 'pipx install <clone>', or run 'invoke' in its clone." in said


@pytest.mark.parametrize("exit_code", [0, 1])
def test_a_yes_calls_the_installed_program_and_keeps_the_module_whatever_it_says(desk: Desk, exit_code: int):
    programs = desk.root / "programs"
    programs.mkdir()
    program = programs / "dagster-module-builder"
    program.write_text(f'#!/bin/sh\necho "$@" >> {desk.root}/called\nexit {exit_code}\n')
    program.chmod(0o755)

    path = f"{programs}:{desk.environment()['PATH']}"
    rendering = desk.render(workspace="yes", deployment="no", environment={"PATH": path})

    assert rendering.returncode == 0
    assert rendering.module.is_dir()
    assert (desk.root / "called").read_text() == f"workspace.add {rendering.module} --move\n"
    assert ("Next:" in rendering.stderr) is bool(exit_code)


def test_a_calling_program_is_told_nothing(desk: Desk):
    rendering = desk.render(environment={"DAGSTER_MODULE_BUILDER_NEW": "1"}, workspace="yes", deployment="yes")

    assert rendering.returncode == 0
    assert "Next:" not in rendering.stderr
    assert "Made" not in rendering.stderr


def test_the_longest_name_still_gives_a_user_that_mysql_takes(desk: Desk):
    rendering = desk.rendered("a" * names.LONGEST_NAME, database="mysql")

    user = json.loads(rendering.text(".dagster-module.json"))["answers"]["database_user"]
    assert len(user) == 32


def test_the_port_of_a_rendered_module_is_found_again(desk: Desk):
    rendering = desk.rendered(database="mysql", database_port="5470")

    assert ports.ports_in((rendering.module / "workspace/local/.env").read_bytes()) == {5470}


@pytest.mark.slow
def test_it_works_from_a_clone_with_a_cookiecutter_that_was_installed_alone(desk: Desk):
    needs.registry()
    uv = [sys.executable, "-m", "uv"]
    python = desk.root / "alone" / "bin" / "python"
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, desk.root / "alone"], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--python", python, "cookiecutter>=2.7,<3"], check=True)
    alone = Desk(desk.root, checkout(desk.root / "clone"), (str(python.with_name("cookiecutter")),))

    rendering = alone.rendered(database="postgresql", requires_pdf="yes")

    assert "poppler-utils" in rendering.text("workspace/local/dockerfile.snippet")
    assert (rendering.module / "constraints.txt").read_bytes() == LOCK.read_bytes()
    assert mode(rendering.module / "workspace/local/.env") == 0o600

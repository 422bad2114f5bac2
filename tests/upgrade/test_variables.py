"""FAULTS F3: an upgrade leaves defaults to the code, and claims no variable of the workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.upgrade.run import Consent, upgrade
from dagster_module_builder.workspaces.add import add_module
from tests.audit.projects import write

READING = """\
import os

import dagster as dg

PORT = int(os.getenv("SHOP_PORT", "5432"))
RETRIES = int(os.environ.get("SHOP_RETRIES", 3))
MODE = os.getenv("SHOP_MODE")
TOKEN = os.environ["SHOP_TOKEN"]
TWICE = os.environ["SHOP_TWICE"] if PORT else os.getenv("SHOP_TWICE", "2")
WHERE = [os.environ["HOME"], os.environ["PATH"], os.getenv("DAGSTER_HOME"), os.environ["POSTGRES_HOST"],
         os.environ["ENV"], os.getenv("LD_PRELOAD")]
OURS = os.environ["SHARED_BY_ALL"]

defs = dg.Definitions(resources={"shop": dg.EnvVar("SHOP_URL")})
"""
CLAIMED_BY_OTHERS = {"HOME", "PATH", "DAGSTER_HOME", "POSTGRES_HOST", "SHARED_BY_ALL", "ENV", "LD_PRELOAD"}


@pytest.fixture
def project(root: Path) -> Path:
    env = root / "services/dagster/.env"
    env.write_text(env.read_text() + "SHARED_BY_ALL='1'\n")
    return write(root / "projects/shop", {"definitions.py": READING, ".env": "SHOP_TOKEN=abc\nSHOP_EXTRA=1\n"})


def values(file: Path) -> dict[str, str]:
    return dict(env_file.values(file.read_bytes()))


def test_a_default_of_the_code_stays_the_codes(root: Path, project: Path) -> None:
    notes = upgrade(root, "shop").notes
    fragment = project / "workspace/local/.env"
    assert values(fragment) == {"SHOP_EXTRA": "1", "SHOP_TOKEN": "abc", "SHOP_TWICE": "", "SHOP_URL": ""}
    commented = [line for line in fragment.read_text().splitlines() if line.startswith("# SHOP")]
    assert commented == ["# SHOP_MODE=''", "# SHOP_PORT=''", "# SHOP_RETRIES=''"]
    assert "Fill in SHOP_TWICE, SHOP_URL in workspace/local/.env." in notes


def test_every_variable_is_explained_and_no_value_is_copied(root: Path, project: Path) -> None:
    upgrade(root, "shop")
    example = project / ".env.example"
    assert set(values(example).values()) == {""}
    assert set(values(example)) == set(values(project / "workspace/local/.env"))
    found = audit(root, project, only=("variables-documented", "variables-example"))
    messages = [problem.message for result in found.results for problem in result.problems]
    assert messages == ["SHOP_EXTRA is explained, but nothing reads it"]


def test_names_of_the_workspace_and_the_system_are_not_claimed(root: Path, project: Path) -> None:
    upgrade(root, "shop")
    assert not CLAIMED_BY_OTHERS & set(values(project / "workspace/local/.env"))
    add_module(root, "shop", checks=())
    assert (root / "services/dagster/.env").read_text().count("SHARED_BY_ALL=") == 1


def test_names_of_a_module_in_the_workspace_stay_its_own(root: Path, project: Path) -> None:
    upgrade(root, "shop")
    add_module(root, "shop", checks=())
    before = (project / ".env.example").read_text()
    (project / ".env.example").unlink()
    upgrade(root, "shop")
    assert (project / ".env.example").read_text() == before


def test_a_value_that_two_readers_read_differently_is_said_before_anything_changes(root: Path, project: Path) -> None:
    (project / ".env").write_text('SHOP_TOKEN="it\'s"\n')
    asked: list[str] = []

    def declined(_module: Path, by_hand: object) -> bool:
        asked.append(str(by_hand))
        return False

    with pytest.raises(RefusedError, match="Nothing was changed"):
        upgrade(root, "shop", consent=Consent(lambda _: False, declined, load=False))
    assert "Copy SHOP_TOKEN from .env to workspace/local/.env" in asked[0]
    assert not (project / "workspace").exists()


def test_a_link_is_not_read_as_a_projects_env(root: Path, project: Path, tmp_path: Path) -> None:
    secret = tmp_path / "elsewhere"
    secret.write_text("KEY=hunter2\n")
    (project / ".env").unlink()
    (project / ".env").symlink_to(secret)
    with pytest.raises(RefusedError, match="leads out of"):
        upgrade(root, "shop")

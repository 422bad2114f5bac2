"""Requirements that do not go together, told apart from an index that does not answer; with real uv."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.modules import dagster_check
from dagster_module_builder.modules.dagster_check import Conflict, Unknown, python_version, resolve_together
from tests import needs
from tests.workspace.native_modules import add_module

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.dagster


@pytest.fixture(autouse=True)
def _index() -> None:
    needs.registry()


def modules(root: Path, **requirements: str) -> list[Path]:
    return [add_module(root, name.replace("_", "-"), requirements=(text,)) for name, text in requirements.items()]


def without_lock(root: Path) -> None:
    (root / "services/dagster/constraints.txt").unlink()


def test_requirements_that_go_together_are_fine_and_remembered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both = modules(root, one="dagster", other="dagster>=1.5")
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    assert resolve_together(root, both) is None
    monkeypatch.setattr("dagster_module_builder.programs.uv_program.ask", None)
    assert resolve_together(root, both) is None


def test_a_changed_requirement_is_looked_at_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = modules(root, one="dagster")
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    assert resolve_together(root, [one]) is None
    (one / "pyproject.toml").write_text('[project]\nname = "one"\nversion = "0"\ndependencies = ["dagster<1.5"]\n')
    assert isinstance(resolve_together(root, [one]), Conflict)


def test_a_conflict_names_the_modules_and_no_other(root: Path) -> None:
    without_lock(root)
    found = resolve_together(root, modules(root, bystander="six", old_one="attrs<22", new_one="attrs>=23"))
    assert isinstance(found, Conflict)
    assert found.modules == ("old-one", "new-one")
    assert "old-one and new-one" in str(found)
    assert "attrs" in found.reason


def test_a_conflict_with_the_lock_names_the_module(root: Path) -> None:
    found = resolve_together(root, modules(root, bystander="six", old_one="attrs<22"))
    assert isinstance(found, Conflict)
    assert found.modules == ("old-one",)
    assert "constraints.txt" in str(found)


@pytest.mark.slow
def test_an_index_that_does_not_answer_is_no_conflict(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cold"))
    assert isinstance(resolve_together(root, modules(root, one="attrs<22", other="attrs>=23")), Unknown)


def test_a_package_that_is_in_no_index_is_no_conflict(root: Path) -> None:
    found = resolve_together(root, modules(root, one="no-such-package-at-all-here", other="attrs"))
    assert isinstance(found, Unknown)
    assert "no-such-package-at-all-here" in str(found)


def test_a_python_that_is_too_old_is_named(root: Path) -> None:
    (module,) = modules(root, modern="attrs")
    file = module / "pyproject.toml"
    file.write_text(file.read_text().replace('version = "0"', 'version = "0"\nrequires-python = ">=3.13"'))
    found = resolve_together(root, [module])
    assert isinstance(found, Conflict)
    assert found.modules == ("modern",)


def test_modules_without_requirements_need_no_uv(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_module_builder.programs.uv_program.ask", None)
    assert resolve_together(root, [root / "projects/none"]) is None


def test_a_damaged_pyproject_is_named(root: Path) -> None:
    (module,) = modules(root, one="attrs")
    (module / "pyproject.toml").write_text("[project\n")
    with pytest.raises(ToolError, match=r"one/pyproject\.toml"):
        resolve_together(root, [module])


@pytest.mark.parametrize(
    ("image", "version"),
    [("python:3.13-slim", "3.13"), ("reg.example/python:3.10", "3.10"), ("base", "{}.{}".format(*sys.version_info))],
)
def test_the_python_is_that_of_the_image(root: Path, image: str, version: str) -> None:
    env = root / "services/dagster/.env"
    env.write_text(env.read_text().replace("python:3.12-slim", image))
    assert python_version(root) == version


#: What builds a project whose requirements are in a separate file; needs nothing installed.


def test_requirements_that_stand_in_another_file_are_looked_at_each_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = modules(root, one="dagster")
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    (one / "pyproject.toml").write_text(
        '[project]\nname = "one"\nversion = "0"\ndynamic = ["dependencies"]\n'
        '[tool.setuptools.dynamic]\ndependencies = {file = "requirements.txt"}\n'
    )
    (one / "requirements.txt").write_text("dagster\n")
    assert resolve_together(root, [one]) is None
    (one / "requirements.txt").write_text("dagster<1.5\n")
    assert isinstance(resolve_together(root, [one]), Conflict)


def test_requirements_that_uv_takes_from_elsewhere_are_looked_at_each_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = modules(root, one="helper")
    helper = add_module(root, "helper", requirements=("dagster",))
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    with (one / "pyproject.toml").open("a") as file:
        file.write('[tool.uv.sources]\nhelper = { path = "../helper" }\n')
    assert resolve_together(root, [one]) is None
    stated = (helper / "pyproject.toml").read_text()
    (helper / "pyproject.toml").write_text(stated.replace('"dagster"', '"dagster<1.5"'))
    assert isinstance(resolve_together(root, [one]), Conflict)


def test_what_the_user_tells_uv_otherwise_is_looked_at_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one,) = modules(root, one="dagster")
    monkeypatch.setattr(dagster_check, "cache_folder", lambda: root / "cache")
    assert resolve_together(root, [one]) is None
    (tmp_path / "older.txt").write_text("dagster<1.5\n")
    monkeypatch.setenv("UV_OVERRIDE", str(tmp_path / "older.txt"))
    assert resolve_together(root, [one]) is not None

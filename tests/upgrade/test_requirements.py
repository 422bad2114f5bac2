"""FAULTS F4: requirements are taken in from wherever a project states them, and none is dropped."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dagster_module_builder.modules.poetry_requirements import specifier
from dagster_module_builder.modules.static_requirements import statement_of
from dagster_module_builder.upgrade.missing_pieces import STORAGE_REQUIREMENTS
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.workspaces.add import add_module
from tests.audit.projects import SCAFFOLD, write

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CODE = {name: text for name, text in SCAFFOLD.items() if name.startswith("orders/")}
TOOL = "[tool.dagster]\nmodule_name = 'orders.definitions'\n"
POETRY = """\
[tool.poetry]
name = "orders"
version = "0.1.0"

[tool.poetry.dependencies]  # all of them
python = ">=3.10,<3.13"
dagster = "^1.5"
polars = {version = "~1.2", extras = ["pyarrow"]}
numpy = [{version = "^1.26", python = "<3.12"}, {version = "^2.0", python = ">=3.12"}]
later = {version = "*", optional = true}

[tool.poetry.group.dev.dependencies]
pytest = "*"

[build-system]
requires = ["poetry-core"]
build-backend = "poetry.core.masonry.api"
"""
OF_POETRY = [
    "dagster>=1.5,<2", "polars[pyarrow]>=1.2,<1.3",
    "numpy>=1.26,<2 ; (python_version < '3.12')", "numpy>=2.0,<3 ; (python_version >= '3.12')",
]  # fmt: skip


def upgraded(root: Path, files: Mapping[str, str]) -> tuple[Path, str]:
    """Upgrade a project; return its folder and what has to be done by hand."""
    project = write(root / "projects/orders", {**CODE, **files})
    return project, "\n".join(upgrade(root, "orders").by_hand)


def listed(project: Path) -> list[str]:
    dependencies: list[str] = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    return dependencies


@pytest.mark.parametrize("settings", ["", TOOL])
def test_what_requirements_txt_lists_is_declared(root: Path, settings: str) -> None:
    text = "# ours\ndagster>=1.5\npolars==1.2  # frames\n\nnumpy ; python_version < '3.13'\n"
    project, by_hand = upgraded(root, {"requirements.txt": text, **({"pyproject.toml": settings} if settings else {})})
    ours = ["dagster>=1.5", "polars==1.2", "numpy ; python_version < '3.13'"]
    assert listed(project) == [*ours, *STORAGE_REQUIREMENTS]
    assert (project / "requirements.txt").read_text() == text
    assert (project / "pyproject.toml").read_text().startswith(settings)
    assert by_hand == ""
    assert not upgrade(root, "orders", allow_dirty=True).changes


def test_requirements_that_a_shell_of_windows_wrote_are_read(root: Path) -> None:
    project = write(root / "projects/orders", CODE)
    (project / "requirements.txt").write_bytes("dagster==1.9.0\r\npolars==1.2\r\n".encode("utf-16"))
    assert upgrade(root, "orders").by_hand == ()
    assert listed(project)[:2] == ["dagster==1.9.0", "polars==1.2"]


def test_lines_that_are_no_requirements_are_said_before_anything_changes(root: Path) -> None:
    text = "dagster\n-r base.txt\n--extra-index-url https://example.com\n"
    assert "'-r base.txt'" in upgraded(root, {"requirements.txt": text})[1]


def test_a_file_that_setuptools_reads_is_given_more_lines_and_installed(root: Path) -> None:
    project_file = (
        "[project]\nname = 'orders'\nversion = '0'\ndynamic = ['dependencies']\n\n"
        "[tool.setuptools.dynamic]\ndependencies = {file = ['requirements/base.txt']}\n"
    )
    files = {"pyproject.toml": project_file, "requirements/base.txt": "dagster"}
    project, by_hand = upgraded(root, files)
    assert (project / "requirements/base.txt").read_text().split() == ["dagster", *STORAGE_REQUIREMENTS]
    assert (project / "pyproject.toml").read_text() == project_file
    assert by_hand == ""
    snippet = (project / "workspace/local/dockerfile.snippet").read_text()
    assert "printf '%s\\n' dagster 'fsspec>=2024.6'" in snippet
    assert " -r /opt/dagster/modules/orders/requirements.txt" in snippet
    add_module(root, "orders", checks=())
    assert statement_of(project).requirements == ("dagster", *STORAGE_REQUIREMENTS)


def test_a_poetry_project_keeps_its_table_and_images_get_all_of_it(root: Path) -> None:
    project, by_hand = upgraded(root, {"pyproject.toml": POETRY})
    after = (project / "pyproject.toml").read_text()
    added = "".join(f'{name} = "{version}"\n' for name, version in map(_parts, STORAGE_REQUIREMENTS))
    assert after == POETRY.replace("optional = true}\n", "optional = true}\n" + added)
    assert by_hand == ""
    assert statement_of(project).requirements == (*OF_POETRY, *STORAGE_REQUIREMENTS)
    assert statement_of(project).python == ">=3.10,<3.13"
    snippet = (project / "workspace/local/dockerfile.snippet").read_text()
    (printed,) = re.findall(r"printf '%s.n' (.*) > ", snippet)
    assert shlex.split(printed) == [*OF_POETRY, *STORAGE_REQUIREMENTS]
    assert "pyproject.toml /opt" not in snippet
    assert not upgrade(root, "orders", allow_dirty=True).changes
    add_module(root, "orders", checks=())
    assert "'polars[pyarrow]>=1.2,<1.3'" in (root / "services/dagster/Dockerfile").read_text()


def _parts(requirement: str) -> tuple[str, str]:
    name, operator, version = requirement.partition(">=")
    return name, operator + version


SPECIFIERS = {
    "^1.5": ">=1.5,<2", "^0.2.3": ">=0.2.3,<0.3", "^0.0": ">=0.0,<0.1", "^0": ">=0,<1", "~1.2.3": ">=1.2.3,<1.3",
    "~1": ">=1,<2", "*": "", "1.2.*": "==1.2.*", "1.2": "==1.2", "= 1.0": "==1.0", ">=1.5,<2.0": ">=1.5,<2.0",
    ">=3.9 <4.0": ">=3.9,<4.0", "!=1.5": "!=1.5", "~=1.4": "~=1.4", "^1.2.3a1": ">=1.2.3a1,<2",
    ">=1,<2 || >=3": None, "latest": None, "^x": None,
}  # fmt: skip


@pytest.mark.parametrize("wanted", SPECIFIERS)
def test_versions_are_written_as_other_tools_read_them(wanted: str) -> None:
    assert specifier(wanted) == SPECIFIERS[wanted]


def test_what_poetry_takes_from_elsewhere_is_left_out_with_a_reason(root: Path) -> None:
    text = "[tool.poetry.dependencies]\na = {git = 'https://example.com/a'}\nb = 'x || y'\ndagster = '*'\n"
    project = write(root / "projects/orders", {**CODE, "pyproject.toml": text})
    stated = statement_of(project)
    assert stated.requirements == ("dagster",)
    assert stated.left_out == ("a comes from a git, which is not asked", "the version of b cannot be read: x || y")


def test_a_table_without_requirements_is_given_a_list(root: Path) -> None:
    project, by_hand = upgraded(
        root, {"pyproject.toml": "[project]\r\nname = 'orders'\r\nversion = '0'\r\n\r\n[tool.x]\r\n"}
    )
    assert listed(project) == [*STORAGE_REQUIREMENTS]
    assert by_hand == ""


def test_requirements_that_a_build_computes_are_said_before_anything_changes(root: Path) -> None:
    text = "[project]\nname = 'orders'\nversion = '0'\ndynamic = ['dependencies']\n"
    project, by_hand = upgraded(root, {"pyproject.toml": text})
    assert "computes its requirements" in by_hand
    assert '"pandas>=2.2",' in by_hand
    assert (project / "pyproject.toml").read_text() == text

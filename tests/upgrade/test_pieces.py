"""What modules lack that this tool never made: created, registered, and then passing the audit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.modules.code_location import code_files
from dagster_module_builder.modules.dagster_check import Conflict, resolve_together
from dagster_module_builder.modules.legacy_requirements import old_requirements_of
from dagster_module_builder.upgrade.missing_pieces import STORAGE_REQUIREMENTS
from dagster_module_builder.upgrade.requirements_table import with_requirements
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.upgrade.setup_files import with_configured_requires, with_install_requires
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.external_checks import requirements
from tests import needs
from tests.audit.projects import OLD_SCAFFOLD, OTHERS, SCAFFOLD, SINGLE_FILE, write
from tests.upgrade.module_files import files_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.mark.parametrize("kind", OTHERS)
def test_a_project_of_another_tool_passes_the_audit_after_its_upgrade(root: Path, kind: str) -> None:
    project = write(root / "projects/orders", OTHERS[kind])
    before = files_of(project)
    assert audit(root, project).failed
    upgrade(root, "orders")
    if kind == "single file":
        env = project / "workspace/local/.env"
        env.write_text(env.read_text().replace("ORDERS_FIRST=''", "ORDERS_FIRST='1'"))
    found = audit(root, project)
    assert [one.check for one in found.results if one.status == "FAIL"] == []
    after = files_of(project)
    changed = {name for name in before if before[name] != after[name]}
    assert changed <= {"pyproject.toml", "setup.py", "orders/definitions.py", "orders/__init__.py", "definitions.py"}
    for path in code_files(project):
        compile(path.read_bytes(), path, "exec")


def test_a_second_upgrade_changes_nothing(root: Path) -> None:
    write(root / "projects/orders", SCAFFOLD)
    assert upgrade(root, "orders").changes
    assert not upgrade(root, "orders", allow_dirty=True).changes


def test_a_dry_run_changes_nothing(root: Path) -> None:
    project = write(root / "projects/orders", SCAFFOLD)
    before = files_of(project)
    assert upgrade(root, "orders", dry_run=True).changes
    assert files_of(project) == before


def test_what_is_there_is_kept(root: Path) -> None:
    project = write(root / "projects/orders", SCAFFOLD)
    own = {"workspace/local/.env": "MINE='1'\n", "deploy/README.md": "mine\n", "orders/resources.py": "MINE = {}\n"}
    write(project, own)
    upgrade(root, "orders")
    assert {name: (project / name).read_text() for name in own} == own
    assert 'resources={"io_manager": ModuleStorage()}' in (project / "orders/definitions.py").read_text()


def test_the_forms_of_values_take_no_name_of_the_project(root: Path) -> None:
    project = write(root / "projects/orders", {**SCAFFOLD, "orders/stored.py": "MINE = 1\n"})
    upgrade(root, "orders")
    assert (project / "orders/stored.py").read_text() == "MINE = 1\n"
    assert "from .stored_values import values" in (project / "orders/storage.py").read_text()
    assert {path.name for path in (project / "orders/stored_values").iterdir()} >= {
        "__init__.py",
        "values.py",
        "cells.py",
    }


def test_a_shape_that_is_not_understood_is_said_with_the_lines_to_add(root: Path) -> None:
    project = write(root / "projects/orders", SINGLE_FILE)
    text = "import dagster as dg\n\nargs = {}\ndefs = dg.Definitions(**args)\n"
    (project / "definitions.py").write_text(text)
    notes = "\n".join(upgrade(root, "orders").by_hand)
    assert "from resources import RESOURCES" in notes
    assert "resources=RESOURCES" in notes
    assert (project / "definitions.py").read_text() == text


def test_the_template_of_a_deployment_is_none(root: Path) -> None:
    project = write(root / "projects/orders", SCAFFOLD)
    upgrade(root, "orders")
    assert (project / "deploy/template/deployment.yaml.example").is_file()
    assert audit(root, project, only=("deployments",)).results[0].status == "WARN"


def test_secrets_that_are_there_move_to_the_fragment_and_out_of_git(root: Path) -> None:
    project = write(root / "projects/orders", {**SINGLE_FILE, ".env": "ORDERS_FIRST=7\n", ".gitignore": "dist"})
    upgrade(root, "orders")
    fragment = project / "workspace/local/.env"
    assert fragment.read_text() == "ORDERS_FIRST='7'\n"
    assert fragment.stat().st_mode & 0o777 == 0o600
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    subprocess.run(["git", "check-ignore", "-q", "workspace/local/.env"], cwd=project, check=True)


def test_an_older_project_states_its_requirements_where_the_others_stand(root: Path) -> None:
    project = write(root / "projects/orders", OLD_SCAFFOLD)
    upgrade(root, "orders")
    before, after = OLD_SCAFFOLD["setup.py"], (project / "setup.py").read_text()
    added = [f'        "{one}",\n' for one in STORAGE_REQUIREMENTS]
    assert after == before.replace('"dagster-cloud"\n', '"dagster-cloud",\n' + "".join(added))
    assert old_requirements_of(project) == ["dagster", "dagster-cloud", *STORAGE_REQUIREMENTS]
    assert (project / "setup.cfg").read_text() == OLD_SCAFFOLD["setup.cfg"]
    assert not upgrade(root, "orders", allow_dirty=True).changes


def test_an_older_project_goes_into_the_workspace_with_its_requirements(root: Path) -> None:
    needs.registry()
    project = write(root / "projects/orders", OLD_SCAFFOLD)
    upgrade(root, "orders")
    add_module(root, "orders", checks=(requirements,))
    assert "'pandas>=2.2' 'pyarrow>=18'" in (root / "services/dagster/Dockerfile").read_text()
    (project / "setup.py").write_text((project / "setup.py").read_text().replace('"dagster"', '"dagster<1.5"'))
    found = resolve_together(root, [project])
    assert isinstance(found, Conflict)
    assert found.modules == ("orders",)


SETUPS = {
    "setup(name='x', install_requires=[])\n": "setup(name='x', install_requires=[\"pandas>=2.2\"])\n",
    "setup(install_requires=['a[x]>=1',],)\n": "setup(install_requires=['a[x]>=1', \"pandas>=2.2\"],)\n",
    "setup(install_requires=('a', 'b'))\n": "setup(install_requires=('a', 'b', \"pandas>=2.2\"))\n",
    "setup(\n    name='ä',\n)\n": "setup(\n    name='ä',\n    install_requires=[\"pandas>=2.2\"],\n)\n",
    "setup(\r\n  name='x'\r\n)\r\n": "setup(\r\n  name='x',\r\n  install_requires=[\"pandas>=2.2\"]\r\n)\r\n",
    "setuptools.setup(name='x')": "setuptools.setup(name='x', install_requires=[\"pandas>=2.2\"])",
    "setup(install_requires=['ä', # ]\n  'b'\n])": "setup(install_requires=['ä', # ]\n  'b',\n  \"pandas>=2.2\",\n])",
    "setup(install_requires=LIST)\n": None,
    "setup(install_requires=LIST + ['a'])\n": None,
    "setup(install_requires=open('requirements.txt').readlines())\n": None,
    "setup(**OPTIONS)\n": None,
    "setup()\n": None,
    "setup(name='x')\nsetup(name='y')\n": None,
    "setup(name='x'\n": None,
}


@pytest.mark.parametrize("text", SETUPS)
def test_a_plain_setup_is_given_more_requirements_and_another_is_left(text: str) -> None:
    found = with_install_requires(text.encode(), ["pandas>=2.2"])
    assert (found and found.decode()) == SETUPS[text]


CONFIGURED = {
    "[options]\ninstall_requires =\n  a\n  b[x]>=1\n": "[options]\ninstall_requires =\n  a\n  b[x]>=1\n  pandas>=2.2\n",
    "[options]\r\ninstall_requires=\r\n\ta": "[options]\r\ninstall_requires=\r\n\ta\r\n\tpandas>=2.2",
    "[options]\ninstall_requires = a\n": None,
    "[options]\ninstall_requires = file: requirements.txt\n": None,
    "[other]\ninstall_requires =\n    a\n": None,
}


@pytest.mark.parametrize("text", CONFIGURED)
def test_a_plain_setup_cfg_is_given_more_requirements_and_another_is_left(text: str) -> None:
    found = with_configured_requires(text.encode(), ["pandas>=2.2"])
    assert (found and found.decode()) == CONFIGURED[text]


def test_a_setup_that_is_not_understood_is_said_with_the_lines_to_add(root: Path) -> None:
    text = "from setuptools import setup\n\nLIST = ['dagster']\nsetup(install_requires=LIST)\n"
    project = write(root / "projects/orders", {**OLD_SCAFFOLD, "setup.py": text})
    notes = "\n".join(upgrade(root, "orders").by_hand)
    assert 'install_requires in setup.py, whose structure is not supported:\n    "fsspec' in notes
    assert (project / "setup.py").read_text() == text


LISTS = [
    "dependencies = []\n",
    'dependencies = ["a[x]>=1"]\n',
    'dependencies = ["a",]\n',
    'dependencies = [\n  "a",\n  "b[x]", # ]\n]\n',
    'dependencies = [\n    "a",\n    "b"\n]\n',
    'dependencies = [\r\n    "a",\r\n]\r\n',
]


@pytest.mark.parametrize("text", LISTS)
def test_requirements_are_added_or_refused_never_damaged(text: str) -> None:
    given = f'[project]\nname = "x"\n{text}\n[project.optional-dependencies]\ndev = ["c"]\n'
    found = with_requirements(given, ["pandas>=2.2"])
    assert found is not None
    listed = tomllib.loads(given)["project"]["dependencies"]
    assert tomllib.loads(found)["project"]["dependencies"] == [*listed, "pandas>=2.2"]
    assert tomllib.loads(found)["project"]["optional-dependencies"] == {"dev": ["c"]}

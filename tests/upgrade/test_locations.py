"""FAULTS F4: a project's code locations are listed and one is chosen; none is taken without a word."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.modules.code_locations import code_locations
from dagster_module_builder.upgrade.run import upgrade
from tests.audit.projects import write
from tests.cli.terminal import Terminal
from tests.upgrade.module_files import files_of

DEFS = "import dagster as dg\n\ndefs = dg.Definitions()\n"
IN_FUNCTION = "import dagster as dg\n\n\ndef build():\n    return dg.Definitions()\n"
TWO = {"sales/__init__.py": "", "sales/definitions.py": DEFS, "stock/__init__.py": "", "stock/definitions.py": DEFS}

PROJECTS: dict[str, tuple[Mapping[str, str], list[str]]] = {
    "a file": ({"repo.py": DEFS}, ["repo"]),
    "two packages": (TWO, ["sales.definitions", "stock.definitions"]),
    "settings that name one": (
        {**TWO, "pyproject.toml": "[tool.dagster]\nmodule_name = 'stock.definitions'\n"}, ["stock.definitions"]
    ),
    "settings that name two": (
        {**TWO, "pyproject.toml": "[tool.dagster]\nmodules = [{type = 'module', name = 'stock.definitions'},"
         " {type = 'module', name = 'sales.definitions'}, {type = 'module', name = 'absent'}]\n"},
        ["stock.definitions", "sales.definitions"],
    ),
    "a workspace file": (
        {**TWO, "workspace.yaml": "load_from:\n  - python_module: stock.definitions\n  - python_file:\n"
         "      relative_path: sales/definitions.py\n  - python_file: other.py\n", "other.py": DEFS},
        ["stock.definitions", "sales.definitions", "other"],
    ),
    "a workspace file that leads out of the project": (
        {"repo.py": DEFS, "workspace.yaml": "load_from:\n  - python_file: ../../../etc/x.py\n"
         "  - python_module: {module_name: x, working_directory: /etc}\n"}, ["repo"]
    ),
    "a merge of parts": (
        {
            "pkg/__init__.py": "", "pkg/core/__init__.py": "", "pkg/core/definitions.py": DEFS, "pkg/extra.py": DEFS,
            "pkg/definitions.py": (
                "from dagster import Definitions\n\nfrom pkg.core import (\n    definitions,\n)\n"
                "from . import extra\n\ndefs = Definitions.merge(definitions.defs, extra.defs)\n"
            ),
        },
        ["pkg.definitions"],
    ),
    "a function that builds for another file": (
        {"pkg/__init__.py": "", "pkg/build.py": IN_FUNCTION, "pkg/main.py": DEFS}, ["pkg.main"]
    ),
    "functions only": ({"build.py": IN_FUNCTION}, ["build"]),
    "a repository": (
        {"repo.py": "from dagster import repository\n\n\n@repository\ndef all():\n    return []\n"}, ["repo"]
    ),
    "a package that re-exports": (
        {"workspace.yaml": "load_from:\n  - python_file: pkg/__init__.py\n", "pkg/main.py": DEFS,
         "pkg/__init__.py": "from pkg.main import defs\n"}, ["pkg.main"]
    ),
    "a package without __init__.py": (
        {"src/ours/core/__init__.py": "", "src/ours/core/main.py": f"from ours.core import other\n{DEFS}"},
        ["ours.core.main"],
    ),
    "a folder with the name of a library": ({"dagster/main.py": f"from dagster import asset\n{DEFS}"}, ["main"]),
    "files in a circle": (
        {"pkg/__init__.py": "", "pkg/a.py": f"from . import b\n{DEFS}", "pkg/b.py": f"from . import a\n{DEFS}"},
        ["pkg.a", "pkg.b"],
    ),
    "nothing": ({"a.py": "x = 1\n"}, []),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROJECTS)
def test_the_code_locations_of_a_project(tmp_path: Path, kind: str) -> None:
    files, wanted = PROJECTS[kind]
    assert [location.dotted for location in code_locations(write(tmp_path / "project", dict(files)))] == wanted


def test_without_a_terminal_the_locations_are_listed_and_nothing_is_changed(root: Path, tmp_path: Path) -> None:
    project = write(root / "projects/orders", TWO)
    (home := tmp_path / "home").mkdir()
    terminal = Terminal(root, {**os.environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}, home)
    before = files_of(project)
    refused = terminal.run("upgrade", "orders")
    assert refused.returncode == 1
    assert "- sales.definitions\n- stock.definitions\nNothing was changed. Pass --location NAME" in refused.stderr
    assert files_of(project) == before
    assert "orders has 2 code locations" in terminal.run("upgrade", "orders", "--dry-run").stderr
    terminal.done("upgrade", "orders", "--location", "stock.definitions", "--no-load")
    assert "package_name: stock.definitions" in (project / "workspace/local/workspace.yaml").read_text()
    assert (project / "stock/storage.py").is_file()
    assert not (project / "sales/storage.py").exists()
    assert terminal.done("upgrade", "orders", "--check").strip() == "orders is up to date"


def test_a_location_that_is_not_there_is_refused(root: Path) -> None:
    write(root / "projects/orders", TWO)
    with pytest.raises(UsageError, match=r"no code location 'x'. It has: sales.definitions, stock.definitions"):
        upgrade(root, "orders", location="x")


def test_an_audit_names_the_locations_that_are_not_the_module(root: Path) -> None:
    project = write(root / "projects/orders", TWO)
    (found,) = audit(root, project, only=("definitions",)).results[0].problems
    assert (found.status, found.where) == ("WARN", "sales/definitions.py")
    assert found.message == "Only one of its 2 code locations is the module; not stock.definitions"

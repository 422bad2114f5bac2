"""What the checks say that load a module, resolve its requirements and run its tests, word for word."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.run import AuditOptions, audit
from tests.audit.findings import problems, skipped
from tests.audit.projects import write
from tests.template import environment

LOADING = ("loads", "keys-loaded", "io-manager-loaded")
#: The Python of these tests, whose environment has pytest, and no Dagster.
BARE = AuditOptions(load=True, tests=True, python=Path(sys.executable))
BUILT = "\ndefs = Definitions()\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder for projects without a workspace."""
    return tmp_path / "alone"


def found(folder: Path, files: dict[str, str], check: str, wanted: AuditOptions = BARE) -> list[Problem]:
    return problems(folder, write(folder / "projects/orders", files), check, wanted)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no file builds Definitions"),
        (BUILT, "NameError: name 'Definitions' is not defined"),
        (f"raise ValueError('first\\nsecond'){BUILT}", "ValueError: first"),
        (f"raise SystemExit(3){BUILT}", "SystemExit: 3"),
        (f"Definitions = list{BUILT}", "ModuleNotFoundError: No module named 'dagster'"),
        (f"import os, sys; print('first'); print('last', flush=True); os._exit(3){BUILT}", "last"),
        (f"import os; os._exit(0){BUILT}", "it ended without output"),
        (
            f"import os; os.kill(os.getpid(), 9){BUILT}",
            "Loading the definitions failed: it was ended by SIGKILL, without any output.",
        ),
    ],
)
def test_what_does_not_load_is_one_failure(folder: Path, text: str, problem: str) -> None:
    module = write(folder / "projects/orders", {"definitions.py": text})
    loads, *others = (one.problems for one in audit(folder, module, BARE, LOADING).results)
    assert list(loads) == [Problem(f"Dagster does not load it: {problem}", "Fix the module's code")]
    assert list(map(list, others)) == [skipped("it does not load")] * 2


ASSETS = """\
import dagster as dg


class Mine(dg.IOManager): ...


defs = dg.Definitions(
    [dg.AssetSpec(key) for key in {keys}], resources={resources}
)
"""
OWN, OTHERS = ["orders", "a"], [["b"], ["c", "d"], ["e", "orders"], ["f"], ["g"]]
ADDED = "Run 'upgrade', which adds it"
MISSING = "No resource 'io_manager' after loading"
REGISTER = [Problem(MISSING, "Register it in Definitions")]


def foreign(shown: str) -> list[Problem]:
    return [Problem(f"Without the prefix orders: {shown}", "Set their key_prefix", "", "WARN")]


WITHOUT_ONE = ASSETS.replace("class Mine(dg.IOManager): ...", "")
LOADED = {
    "nothing": (ASSETS.format(keys=[], resources={}), {}, skipped("no assets"), REGISTER),
    "all as it should be": (
        ASSETS.format(keys=[OWN], resources='{"io_manager": dg.InMemoryIOManager()}'), {}, [], [],
    ),
    "foreign assets, and no IO manager": (
        WITHOUT_ONE.format(keys=[OWN, *OTHERS], resources='{"other": 1}'), {},
        foreign("b, c/d, e/orders and 2 more"), [Problem(MISSING, ADDED, by_upgrade=True)],
    ),
    "three foreign assets, of a module of the template": (
        WITHOUT_ONE.format(keys=OTHERS[:3], resources={}), {".dagster-module.json": '{"template_version": "1"}'},
        foreign("b, c/d, e/orders"), REGISTER,
    ),
}  # fmt: skip


@pytest.mark.dagster
@pytest.mark.parametrize("case", LOADED)
def test_what_is_seen_once_it_is_loaded(folder: Path, case: str) -> None:
    text, more, keys, manager = LOADED[case]
    module = write(folder / "projects/orders", {"definitions.py": text, **more})
    said = audit(folder, module, AuditOptions(load=True, python=environment.made().python), LOADING)
    assert [list(one.problems) for one in said.results] == [[], keys, manager]


def test_requirements_that_cannot_be_looked_at_are_a_warning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = "requirements"
    assert found(folder, {"a.py": ""}, check) == skipped("it declares no requirements")
    project = "[project]\ndependencies = ['x']\n"
    message = f"{folder / 'projects/orders/pyproject.toml'} does not name its project: 'name'"
    name_it = [Problem(message, "Name the project in pyproject.toml", "", "WARN")]
    assert found(folder, {"pyproject.toml": project}, check) == name_it
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(folder / "cache"))
    (problem,) = found(folder, {"pyproject.toml": f"{project}name = 'orders'\nversion = '1'\n"}, check)
    assert problem.message.startswith("Its requirements do not resolve with the workspace's: ")
    assert "\n" not in problem.message
    assert (problem.fix, problem.where, problem.status) == ("Change them", "", "WARN")


@pytest.mark.dagster
def test_requirements_are_compared_with_the_workspaces(root: Path) -> None:
    project = "[project]\nname = 'orders'\nversion = '1'\ndependencies = ['dagster{}']\n"
    assert found(root, {"pyproject.toml": project.format("")}, "requirements") == []
    (problem,) = found(root, {"pyproject.toml": project.format("<1.5")}, "requirements")
    assert "dagster<1.5" in problem.message
    assert (problem.fix, problem.status) == ("Change them", "FAIL")


FAILING = "import pytest\n\n\n@pytest.mark.parametrize('number', range(7))\ndef test_it(number):\n    assert {}\n"


def does_not_pass(line: str) -> Problem:
    return Problem(f"A test failed: {line}", "Run pytest in the module's folder")


def test_tests_that_fail_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests around this one are told is not for the module's."""
    check = "tests-pass"
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    monkeypatch.setenv("COV_CORE_SOURCE", "x")
    monkeypatch.setenv("ORDERS_LIMIT", "7")
    assert found(folder, {"a.py": ""}, check) == skipped("no tests")
    passing = FAILING.format("number < int(os.environ['ORDERS_LIMIT'])").replace("import", "import os, a,", 1)
    assert found(folder, {"tests/test_a.py": passing}, check) == []
    assert not list(folder.rglob("__pycache__"))
    assert found(folder, {"tests/test_a.py": FAILING.format("number == 7")}, check) == [
        does_not_pass(f"tests/test_a.py::test_it[{number}] - assert {number} == 7") for number in range(5)
    ]
    assert found(folder, {"tests/test_a.py": "import none\n"}, check) == [does_not_pass("tests/test_a.py")]


def test_how_pytest_ended_is_told_where_it_names_no_test(folder: Path) -> None:
    files = {"tests/test_a.py": "def test_it(): ...\n", "conftest.py": "import os\n\nos._exit(7)\n"}
    assert found(folder, files, "tests-pass") == [does_not_pass("exit status 7")]
    files = {"pytest.ini": "[pytest]\naddopts = --no-such-option\n", "conftest.py": ""}
    (problem,) = found(folder, files, "tests-pass")
    assert problem.message == f"A test failed:   rootdir: {folder / 'projects/orders'}"

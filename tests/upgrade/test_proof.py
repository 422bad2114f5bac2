"""FAULTS F2: an upgrade proves with real Dagster that the definitions load as before, or it is taken back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.upgrade.result import UpgradeResult
from dagster_module_builder.upgrade.run import Consent, upgrade
from tests.audit.projects import CREATE_DAGSTER, OTHERS, SCAFFOLD, write
from tests.cli.terminal import PROGRAM, Terminal
from tests.template import environment
from tests.upgrade.module_files import files_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.dagster

REGISTERING = """\
import dagster as dg


def made_elsewhere():
    return dg.FilesystemIOManager(base_dir="/srv/orders")
"""


@pytest.fixture
def project(root: Path) -> Callable[[dict[str, str]], Path]:
    """Write a project whose own environment is that of all tests."""

    def make(files: dict[str, str]) -> Path:
        folder = write(root / "projects/orders", files)
        (folder / ".venv").symlink_to(environment.made().folder)
        return folder

    return make


def upgraded(root: Path, *, may_run: bool = True, asked: list[Sequence[str]] | None = None) -> UpgradeResult:
    def goes_on(_module: Path, by_hand: Sequence[str]) -> bool:
        if asked is not None:
            asked.append(by_hand)
        return asked is not None

    return upgrade(root, "orders", consent=Consent(lambda _: may_run, goes_on))


def own_files(project: Path) -> dict[str, tuple[bytes, int]]:
    return {name: content for name, content in files_of(project).items() if "__pycache__" not in name}


@pytest.mark.parametrize("kind", ["create-dagster", "scaffold", "older scaffold"])
def test_what_was_loaded_is_loaded_afterwards_and_the_io_manager_is_added(
    root: Path, project: Callable[[dict[str, str]], Path], kind: str
) -> None:
    project(OTHERS[kind])
    said = upgraded(root).proof
    assert said.startswith("The definitions load as before: 1 asset")
    assert said.endswith("Added: the resource io_manager.")


LEFT_ALONE = {
    "a call in a merge": SCAFFOLD
    | {
        "orders/storage_of_ours.py": REGISTERING,
        "orders/definitions.py": """\
from dagster import Definitions

from orders.assets import numbers
from orders.storage_of_ours import made_elsewhere

core = {"io_manager": made_elsewhere()}
defs = Definitions.merge(Definitions(assets=[numbers]), Definitions(resources=core))
""",
    },
    "a function's result, which only loading shows": SCAFFOLD
    | {
        "orders/storage_of_ours.py": REGISTERING
        + "\n\ndef everything():\n    return {'io_manager': made_elsewhere()}\n",
        "orders/definitions.py": """\
from dagster import Definitions

from orders.assets import numbers
from orders.storage_of_ours import everything

defs = Definitions(assets=[numbers], resources=everything())
""",
    },
    "a defs folder": CREATE_DAGSTER
    | {
        "src/orders/defs/storage_of_ours.py": REGISTERING
        + """

@dg.definitions
def resources():
    return dg.Definitions(resources={"io_manager": made_elsewhere()})
"""
    },
    "a loop in a defs folder, which only loading shows": CREATE_DAGSTER
    | {
        "src/orders/defs/storage_of_ours.py": REGISTERING
        + "\n\ndefs = dg.Definitions(resources={name: made_elsewhere() for name in ['io_manager']})\n"
    },
}


@pytest.mark.parametrize("kind", LEFT_ALONE)
def test_a_registered_io_manager_is_left_alone_whatever_its_class(
    root: Path, project: Callable[[dict[str, str]], Path], kind: str
) -> None:
    folder = project(LEFT_ALONE[kind])
    before = own_files(folder)
    result = upgraded(root)
    after = own_files(folder)
    assert {name for name in after if name.endswith(".py") and after[name] != before.get(name)} == set()
    assert not result.proof.endswith("Added: the resource io_manager.")


def test_an_upgrade_after_which_the_definitions_do_not_load_is_taken_back(
    root: Path, project: Callable[[dict[str, str]], Path]
) -> None:
    text = SCAFFOLD["orders/definitions.py"] + "\nif defs.resources:\n    raise ValueError('one too many')\n"
    folder = project(SCAFFOLD | {"orders/definitions.py": text})
    (folder / "orders/definitions.py").chmod(0o640)
    before = own_files(folder)
    with pytest.raises(RefusedError, match=r"undone[\s\S]*ValueError: one too many"):
        upgraded(root)
    assert own_files(folder) == before
    assert not (folder / "workspace").exists()


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_upgrade_that_is_ended_while_it_loads_the_definitions_is_taken_back(
    root: Path, project: Callable[[dict[str, str]], Path], tmp_path: Path, ending: signal.Signals
) -> None:
    reached = tmp_path / "reached"
    waits = f"\nif defs.resources:\n    import time\n\n    open({str(reached)!r}, 'w').close()\n    time.sleep(100)\n"
    folder = project(SCAFFOLD | {"orders/definitions.py": SCAFFOLD["orders/definitions.py"] + waits})
    before = own_files(folder)
    command = [PROGRAM, "upgrade", "orders", "--trust", "--root", root]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not reached.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (folder / "orders/storage.py").is_file()
    process.send_signal(ending)
    assert process.wait(60) != 0
    if ending == signal.SIGKILL:  # The next command takes it back.
        assert own_files(folder) != before
        listed = subprocess.run([PROGRAM, "workspace.list", "--root", root], capture_output=True, text=True, check=True)
        assert "An earlier command was cut off: workspace restored from backup." in listed.stdout + listed.stderr
    assert own_files(folder) == before


def test_an_upgrade_that_loses_an_asset_is_taken_back(root: Path, project: Callable[[dict[str, str]], Path]) -> None:
    text = """\
from dagster import Definitions, asset


@asset
def first(): ...


@asset
def second(): ...


defs = Definitions(assets=[first])
if not defs.resources:
    defs = Definitions.merge(defs, type(defs)(assets=[second]))
"""
    folder = project(SCAFFOLD | {"orders/definitions.py": text.replace("type(defs)", "Other"), "orders/other.py": ""})
    definitions = folder / "orders/definitions.py"
    definitions.write_text(text.replace("type(defs)", "defs.__class__"))
    before = own_files(folder)
    with pytest.raises(RefusedError, match="the asset second is lost"):
        upgraded(root)
    assert own_files(folder) == before


def test_definitions_that_did_not_load_before_are_not_blamed_on_the_upgrade(
    root: Path, project: Callable[[dict[str, str]], Path]
) -> None:
    folder = project(SCAFFOLD | {"orders/assets.py": "import nothing_of_that_name\n"})
    result = upgraded(root)
    assert (folder / "orders/storage.py").is_file()
    assert result.proof == ""
    assert "did not load before the upgrade either: ModuleNotFoundError" in "\n".join(result.notes)


def test_without_trust_nothing_runs_and_the_report_says_so(
    root: Path, project: Callable[[dict[str, str]], Path], tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    text = f"open({str(ran)!r}, 'a').close()\n" + SCAFFOLD["orders/assets.py"]
    folder = project(SCAFFOLD | {"orders/assets.py": text})
    (home := tmp_path / "home").mkdir()
    environ = {name: value for name, value in os.environ.items() if name != "CI"}
    terminal = Terminal(root, {**environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}, home)
    terminal.done("upgrade", "orders", "--dry-run", "--trust")
    said = terminal.run("upgrade", "orders")
    assert "Not checked whether the definitions load as before" in said.stderr
    assert "audit orders --load --trust" in said.stderr
    assert (folder / "orders/storage.py").is_file()
    assert not ran.exists()
    (folder / "orders/definitions.py").write_text(SCAFFOLD["orders/definitions.py"])
    (folder / "orders/storage.py").unlink()
    (folder / "orders/resources.py").unlink()
    assert "load as before: 1 asset" in terminal.done("upgrade", "orders", "--trust")
    assert ran.exists()


def test_what_the_own_environment_lacks_is_installed_beside_it(
    root: Path, project: Callable[[dict[str, str]], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The project's environment stays as it is, and the requirements that the upgrade adds are found for the proof."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = write(root / "projects/orders", SCAFFOLD)
    python = environment.own(folder / ".venv", "dagster")
    installed = sorted(path.name for path in python.parents[1].glob("lib/*/site-packages/*"))
    assert "pandas" not in installed
    assert upgraded(root).proof.endswith("Added: the resource io_manager.")
    assert sorted(path.name for path in python.parents[1].glob("lib/*/site-packages/*")) == installed


def run_in(command: list[str], folder: Path, environ: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)


UV = [sys.executable, "-m", "uv", "--quiet"]
#: Tools with a lock: what to install, the file, the commands that make it and that say whether it is fresh.
LOCKING = {
    "poetry": (["poetry>=2"], "poetry.lock", ["poetry", "lock"], ["poetry", "check", "--lock"]),
    "poetry 1": (["poetry==1.8.5"], "poetry.lock", ["poetry", "lock", "--no-update"], ["poetry", "check", "--lock"]),
    "pdm": (["pdm[locked]"], "pdm.lock", ["pdm", "lock", "--update-reuse"], ["pdm", "lock", "--check"]),
}
PDM_PROJECT = """\
[project]
name = "orders"
version = "0.1.0"
requires-python = ">=3.10,<3.13"
dependencies = ["packaging==23.2"]
"""
# Poetry asks PyPI's own interface, which mirrors may lack, unless it is told of an index.
POETRY_PROJECT = """\
[tool.poetry]
name = "orders"
version = "0.1.0"
description = ""
authors = ["Orders <orders@example.com>"]

[tool.poetry.dependencies]
python = ">=3.10,<3.13"
packaging = "==23.2"

[[tool.poetry.source]]
name = "index"
url = "https://pypi.org/simple/"
"""


def test_a_lock_of_uv_has_what_the_upgrade_adds(root: Path, project: Callable[[dict[str, str]], Path]) -> None:
    """FAULTS F4: a lock does not go stale."""
    folder = project(SCAFFOLD | {"pyproject.toml": SCAFFOLD["pyproject.toml"].replace('"dagster"', '"packaging"')})
    run_in([*UV, "lock"], folder, dict(os.environ))
    result = upgraded(root)
    assert (folder / "uv.lock") in {change.path for change in result.plan.effective}
    run_in([*UV, "lock", "--check"], folder, dict(os.environ))


@pytest.mark.parametrize("kind", LOCKING)
def test_a_lock_has_what_the_upgrade_adds_and_keeps_the_rest(
    root: Path, project: Callable[[dict[str, str]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    packages, file, lock, check = LOCKING[kind]
    # What they are built on is not what this program is tested with.
    run_in([*UV, "venv", str(tmp_path / "tools")], tmp_path, dict(os.environ))
    run_in([*UV, "pip", "install", "--python", str(tmp_path / "tools"), *packages], tmp_path, dict(os.environ))
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools/bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("POETRY_VIRTUALENVS_CREATE", "false")
    monkeypatch.setenv("PDM_CHECK_UPDATE", "false")
    text = PDM_PROJECT if kind == "pdm" else POETRY_PROJECT
    folder = project(SCAFFOLD | {"pyproject.toml": text})
    run_in(lock, folder, dict(os.environ))
    # Newer versions would do by now; the lock stays with what it has.
    (folder / "pyproject.toml").write_text(text.replace("==23.2", ">=23.2"))
    run_in(lock, folder, dict(os.environ))
    assert "pandas" not in (folder / file).read_text()
    result = upgraded(root)
    assert (folder / file) in {change.path for change in result.plan.effective}
    run_in(check, folder, dict(os.environ))
    packages_locked = {
        package["name"]: package["version"] for package in tomllib.loads((folder / file).read_text())["package"]
    }
    assert packages_locked["packaging"] == "23.2"
    assert "pandas" in packages_locked


def test_a_lock_whose_tool_may_not_run_is_said_before_anything_changes(
    root: Path, project: Callable[[dict[str, str]], Path]
) -> None:
    folder = project(SCAFFOLD | {"uv.lock": "version = 1\n", "pdm.lock": ""})
    before = own_files(folder)
    asked: list[Sequence[str]] = []
    upgraded(root, may_run=False, asked=asked)
    assert [line.partition(": ")[2] for line in asked[0]] == [
        f"run 'uv lock' in {folder} after the upgrade.",
        f"run 'pdm lock --update-reuse' in {folder} after the upgrade.",
    ]
    assert own_files(folder)["uv.lock"] == before["uv.lock"]

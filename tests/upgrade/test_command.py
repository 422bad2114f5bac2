"""``upgrade`` as a person types it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.base.baseline import FILE, FileContent, packed, unpacked
from dagster_module_builder.modules import unfinished
from tests import needs
from tests.audit.projects import SCAFFOLD, SINGLE_FILE, write
from tests.cli.terminal import Terminal
from tests.upgrade.module_files import files_of


@pytest.fixture
def terminal(root: Path, tmp_path: Path) -> Terminal:
    (home := tmp_path / "home").mkdir()
    return Terminal(root, {**os.environ, "HOME": str(home), "DAGSTER_WORKSPACE": str(root), "NO_COLOR": "1"}, home)


def test_check_is_exit_code_1_while_there_is_something_to_do(terminal: Terminal, root: Path) -> None:
    project = write(root / "projects/orders", SCAFFOLD)
    before = files_of(project)
    assert terminal.run("upgrade", "orders", "--check").returncode == 1
    shown = terminal.done("upgrade", "orders", "--dry-run")
    assert "+    resources=RESOURCES," in shown
    assert files_of(project) == before
    said = terminal.done("upgrade", "orders")
    assert "made    projects/orders/orders/resources.py" in said
    # It is not in the workspace yet (FAULTS G).
    assert "workspace.add orders" in said.partition("\nNext:\n")[2]
    assert terminal.done("upgrade", "orders", "--check").strip() == "orders is up to date"


def test_what_an_upgrade_cannot_do_is_said_before_anything_is_changed(terminal: Terminal, root: Path) -> None:
    """FAULTS F4: nothing is done by half without a word."""
    text = "import dagster as dg\n\nargs = {}\ndefs = dg.Definitions(**args)\n"
    project = write(root / "projects/orders", {"definitions.py": text})
    before = files_of(project)
    refused = terminal.run("upgrade", "orders")
    assert refused.returncode == 1
    assert "The upgrade cannot do all that orders needs:\n- The structure of definitions.py" in refused.stderr
    assert "pass --partial" in refused.stderr
    assert files_of(project) == before
    assert "The structure of definitions.py" in terminal.run("upgrade", "orders", "--dry-run").stderr
    terminal.done("upgrade", "orders", "--partial", "--no-load")
    assert (project / "storage.py").is_file()
    assert (project / "definitions.py").read_text() == text


def test_check_fails_where_the_template_cannot_be_merged(terminal: Terminal, root: Path, module: Path) -> None:
    """FAULTS P7: a module without a baseline is not "up to date", and the way out is said."""
    (module / FILE).unlink()
    record = module / ".dagster-module.json"
    record.write_text(record.read_text().replace('"template_version": "', '"template_version": "0.'))
    checked = terminal.run("upgrade", "sales", "--check")
    assert checked.returncode == 1
    assert "sales is not up to date" in checked.stdout
    assert "--from-template" in checked.stderr
    assert terminal.run("upgrade", "sales").returncode == 1


def test_check_says_what_the_upgrade_would(terminal: Terminal, root: Path, module: Path) -> None:
    """FAULTS P7: files, conflicts, notes and what it would be refused for."""
    kept = unpacked((module / FILE).read_bytes())
    kept["README.md"] = FileContent(kept["README.md"].content.replace(b"## Run it", b"## Run it as of old"))
    (module / FILE).write_bytes(packed(kept))
    (module / "README.md").write_text("mine\n")
    subprocess.run(["git", "init", "-q"], cwd=module, check=True)
    checked = terminal.run("upgrade", "sales", "--check")
    assert checked.returncode == 1
    assert "changed projects/sales/README.md" in checked.stdout
    assert "Conflicts, marked in the files:" in checked.stdout
    assert "would be refused" in checked.stderr
    assert (module / "README.md").read_text() == "mine\n"


def test_all_modules_go_on_when_one_cannot(terminal: Terminal, root: Path) -> None:
    write(root / "projects/orders", SINGLE_FILE)
    write(root / "projects/dagster", SINGLE_FILE)
    result = terminal.run("upgrade", "--all")
    assert result.returncode == 1
    assert "Error: dagster:" in result.stderr
    assert "Upgraded orders" in result.stdout
    assert "sales is up to date" in result.stdout
    assert not unfinished.path_of(root, "orders").exists()


def test_a_module_elsewhere_is_refused(terminal: Terminal, root: Path, tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere/sales", SINGLE_FILE)
    before = files_of(root / "projects/sales")
    assert "--move" in terminal.refused("upgrade", str(elsewhere))
    assert files_of(root / "projects/sales") == before
    assert files_of(elsewhere).keys() == SINGLE_FILE.keys()


def test_wrong_usage_is_exit_code_2(terminal: Terminal) -> None:
    terminal.refused("upgrade", "sales", "--check", "--abort", code=2)
    terminal.refused("upgrade", code=2)
    assert "No upgrade" in terminal.refused("upgrade", "sales", "--continue")
    terminal.done("upgrade", "--all", "--abort")


@pytest.mark.dagster
def test_a_version_that_is_not_published_is_named_with_the_newest(terminal: Terminal) -> None:
    """FAULTS P15: in the place of a resolver's riddle."""
    needs.registry()
    said = terminal.refused("upgrade", "sales", "--test-dagster", "1.999.0", "--trust")
    assert re.search(r"Dagster 1\.999\.0 is not published\. The newest is 1\.\d+\.\d+\.$", said.strip())


@pytest.mark.dagster
@pytest.mark.slow
def test_another_dagster_is_tried_and_nothing_is_changed(terminal: Terminal, root: Path) -> None:
    needs.registry()
    terminal.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    terminal.environment.pop("PYTHONDONTWRITEBYTECODE", None)
    project = write(root / "projects/orders", SCAFFOLD)
    before = files_of(project)
    said = terminal.done("upgrade", "orders", "--test-dagster", "1.12.0", "--trust")
    assert "orders with Dagster 1.12.0" in said
    assert said.count("PASS") == 2
    (python,) = Path(terminal.environment["HOME"]).glob(".cache/*/environments/orders-*/bin/python")
    version = subprocess.run(
        [python, "-c", "import dagster; print(dagster.__version__)"], capture_output=True, text=True, check=True
    )
    assert version.stdout.strip() == "1.12.0"
    (project / "orders_tests/test_assets.py").write_text("def test_broken():\n    assert 1 == 2\n")
    failed = terminal.run("upgrade", "orders", "--test-dagster", "1.12.0", "--trust")
    assert (failed.returncode, "test_broken" in failed.stdout) == (1, True)
    said = terminal.refused("upgrade", "orders", "--test-dagster", "0.0.1", "--trust")
    assert "Dagster 0.0.1 is not published" in said
    (project / "orders_tests/test_assets.py").write_bytes(before["orders_tests/test_assets.py"][0])
    assert files_of(project) == before

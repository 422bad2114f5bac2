"""What a module records of the template: compared, validated, and changed by `--set`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.errors import DamagedFileError, RefusedError, UsageError
from dagster_module_builder.upgrade.proposal import KEPT_SECRETS
from dagster_module_builder.upgrade.run import upgrade
from tests.upgrade.module_files import TODAY, files_of

RECORD = ".dagster-module.json"


def recorded(module: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((module / RECORD).read_text())
    change(data)
    (module / RECORD).write_text(json.dumps(data))


def test_a_newer_module_is_not_taken_back(root: Path, module: Path) -> None:
    """FAULTS P3: both versions are named, and the audit says it, too."""
    recorded(module, lambda data: data.update(template_version="9.10.0"))
    before = files_of(module)
    with pytest.raises(RefusedError, match=rf"9\.10\.0, and this program has {TODAY}: an upgrade would be a downgrade"):
        upgrade(root, "sales")
    assert files_of(module) == before
    assert "9.10.0" in audit(root, module, only=("template-version",)).results[0].problems[0].message


@pytest.mark.parametrize("text", ["{", "[]", '{"answers": {}}', '{"template_version": "x", "answers": {}}', "\xff"])
def test_a_damaged_record_is_not_taken_for_none(root: Path, module: Path, text: str) -> None:
    """FAULTS P4: it is named with its cure; nothing is "up to date"."""
    (module / RECORD).write_text(text, "latin-1")
    before = files_of(module)
    with pytest.raises(DamagedFileError, match=r"\.dagster-module\.json: this record is damaged\. .*git checkout"):
        upgrade(root, "sales", dry_run=True)
    assert files_of(module) == before
    assert "damaged" in audit(root, module, only=("template-version",)).results[0].problems[0].message


@pytest.mark.parametrize("answer", ["oracle", 7, None, True, ["none"]])
def test_an_answer_that_is_no_choice_is_refused_with_the_choices(root: Path, module: Path, answer: object) -> None:
    """FAULTS P4: no default is taken in its place."""
    recorded(module, lambda data: data["answers"].update(database=answer))
    before = files_of(module)
    with pytest.raises(DamagedFileError, match=r"database is .*: choose none, postgresql, mysql, duckdb"):
        upgrade(root, "sales")
    assert files_of(module) == before


def test_an_answer_is_changed_and_changed_back(root: Path, module: Path) -> None:
    """FAULTS P16: without a database its password is kept beside the fragment, and comes back with the database."""
    before = files_of(module)
    env = module / "workspace/local/.env"
    password = env.read_text().partition("_DB_PASSWORD='")[2].partition("'")[0]
    shown = upgrade(root, "sales", answers={"database": "none"}, dry_run=True)
    assert "services:" in shown.plan.diff()
    assert files_of(module) == before
    outcome = upgrade(root, "sales", answers={"database": "none"})
    assert str(KEPT_SECRETS) in "".join(outcome.notes)
    assert password not in outcome.plan.diff()
    assert not (module / "src/sales_dagster/database.py").exists()
    assert password not in env.read_text()
    assert password in (module / KEPT_SECRETS).read_text()
    assert (module / KEPT_SECRETS).stat().st_mode & 0o777 == 0o600
    assert not upgrade(root, "sales").changes
    upgrade(root, "sales", answers={"database": "postgresql"})
    assert files_of(module) == before


def test_a_new_database_gets_a_port_that_is_free(root: Path, module: Path) -> None:
    """FAULTS P16: the recorded port may be another module's meanwhile."""
    port = json.loads((module / RECORD).read_text())["answers"]["database_port"]
    upgrade(root, "sales", answers={"database": "none"})
    (root / "projects/stock/workspace/local").mkdir(parents=True)
    (root / "projects/stock/workspace/local/.env").write_text(f"STOCK_DB_PORT='{port}'\n")
    upgrade(root, "sales", answers={"database": "postgresql"})
    assert f"PORT='{port}'" not in (module / "workspace/local/.env").read_text()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"database": "oracle"}, "choose none, postgresql"),
        ({"colour": "red"}, "has no such question. Choose one of code_server, database"),
        ({"name": "stock"}, "its folder's"),
    ],
)
def test_an_answer_that_cannot_be_is_wrong_usage(root: Path, given: dict[str, str], why: str) -> None:
    """FAULTS P16: a mistyped question or answer changes nothing."""
    with pytest.raises(UsageError, match=why):
        upgrade(root, "sales", answers=given)

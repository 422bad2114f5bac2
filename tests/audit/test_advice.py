"""What an audit advises beside the checks: it is said where the code shows it, and counts for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.audit.results import Audit
from dagster_module_builder.audit.run import audit
from tests.audit.projects import SINGLE_FILE, write

ASSET = "\n\n@dg.asset{}\ndef {}():\n    return 1\n"
NAMES = ("orders", "shops", "sums", "daily", "weekly")


def of(root: Path, code: str) -> Audit:
    project = write(root / "projects/orders", SINGLE_FILE)
    (project / "more.py").write_text(f"import dagster as dg\n{code}")
    return audit(root, project)


def advised(root: Path, code: str) -> set[str]:
    return {line.partition(":")[0].partition(" or ")[0] for line in of(root, code).advice}


def test_what_nothing_starts_gets_the_advice_to_schedule_it(root: Path) -> None:
    found = of(root, "")
    assert [line for line in found.recommendations if "schedule" in line] == list(found.advice)
    assert all(result.status != "WARN" or "schedule" not in str(result.problems) for result in found.results)


@pytest.mark.parametrize(
    "starts",
    [
        "dg.ScheduleDefinition(name='daily', cron_schedule='0 0 * * *', target='*')",
        "@dg.schedule(cron_schedule='0 0 * * *', target='*')\ndef daily(): ...",
        "@dg.sensor(target='*')\ndef found(): ...",
        "@dg.asset(automation_condition=dg.AutomationCondition.eager())\ndef one(): ...",
        "defs = dg.load_from_defs_folder(path_within_project=here)",
    ],
)
def test_what_something_starts_does_not(root: Path, starts: str) -> None:
    assert "Add a schedule" not in advised(root, f"\n{starts}\n")


def test_many_assets_without_a_staging_layer_get_the_advice_to_make_one(root: Path) -> None:
    assert "Add a staging layer" in advised(root, "".join(ASSET.format("", name) for name in NAMES))
    assert "Add a staging layer" not in advised(root, ASSET.format("", "sums"))


@pytest.mark.parametrize(
    ("decorator", "name"),
    [("", "stg_orders"), ("", "raw"), ("(group_name='staging')", "orders"), ("(key_prefix=['bronze', 'x'])", "orders")],
)
def test_a_staging_layer_is_known_by_any_of_its_names(root: Path, decorator: str, name: str) -> None:
    assets = "".join(ASSET.format("", each) for each in NAMES)
    assert "Add a staging layer" not in advised(root, assets + ASSET.format(decorator, name))


def test_a_module_without_code_gets_none(root: Path, module: Path) -> None:
    for file in (module / "src/sales_report_dagster").glob("*.py"):
        file.write_text("def broken(:\n")
    assert audit(root, module).advice == ()

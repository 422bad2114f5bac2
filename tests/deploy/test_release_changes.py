"""What a deployment would change of definitions and packages: the release that runs and the new one, both loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.change_summary import first_lines, lines, markdown
from dagster_module_builder.deploy.job_summary import summary
from dagster_module_builder.deploy.rollout import HostOutcome
from dagster_module_builder.modules.loading import compared
from dagster_module_builder.modules.trusted_code import remember_made
from tests.deploy import cut_off
from tests.deploy.program import run
from tests.deploy.sites import Site

DEFINITIONS = """\
import dagster as dg


@dg.asset(code_version="1", group_name="shop")
def orders():
    return 1


@dg.asset(deps=[orders], partitions_def=dg.StaticPartitionsDefinition(["a"]))
def totals():
    return 1


@dg.asset_check(asset=orders)
def is_whole():
    return dg.AssetCheckResult(passed=True)


@dg.sensor(job_name="numbers")
def arrivals():
    return dg.SkipReason("nothing")


class Shop(dg.ConfigurableResource):
    url: str = "https://shop.example"


numbers = dg.define_asset_job("numbers", selection=[orders])
defs = dg.Definitions(
    assets=[orders, totals],
    asset_checks=[is_whole],
    jobs=[numbers],
    schedules=[dg.ScheduleDefinition(name="nightly", job=numbers, cron_schedule="0 3 * * *")],
    sensors=[arrivals],
    resources={"shop": Shop()},
)
"""
CHANGES = (
    ('code_version="1"', 'code_version="2"'), ("totals", "sums"), ("is_whole", "is_complete"),
    ("0 3 * * *", "0 4 * * *"), ("arrivals", "files"), ('"shop": Shop()', '"store": Shop()'),
)  # fmt: skip
NOTHING: dict[str, Any] = {"added": [], "removed": [], "changed": {}}


@pytest.mark.dagster
def test_a_dry_run_shows_what_changes_of_definitions_and_packages(
    site: Site, dagster_python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of the same content nothing; as text, JSON and Markdown, and on a job's page. Nothing is loaded without trust."""
    monkeypatch.setenv("CI", "false")  # A pipeline has consent.
    (site.module / ".venv/bin").mkdir(parents=True)
    (site.module / ".venv/bin/python").symlink_to(dagster_python)
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text(DEFINITIONS)
    site.deploy()
    # A comment changes a file, and nothing that is loaded.
    path.write_text(DEFINITIONS + "# the same\n")

    def preview(*flags: str) -> str:
        done = run(site.root, "deploy", "yoda", "--allow-dirty", *flags)
        assert done.returncode == 0, done
        return done.stdout

    change = json.loads(preview("--dry-run", "--json"))[0]["modules"]["sales-report"]
    assert "that runs code of sales-report here" in change["not_compared"]
    remember_made(site.module)
    change = json.loads(preview("--dry-run", "--json"))[0]["modules"]["sales-report"]
    assert change["not_compared"] is None
    assert set(change["definitions"]) == {"assets", "checks", "jobs", "schedules", "sensors", "resources"}
    assert [each for each in change["definitions"].values() if each != NOTHING] == []
    assert change["packages"] == NOTHING

    text = DEFINITIONS
    for before, after in CHANGES:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)
    pyproject = site.module / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("dependencies = []", 'dependencies = ["humanize>=4"]'))
    change = json.loads(preview("--dry-run", "--json"))[0]["modules"]["sales-report"]
    assert change["definitions"] == {
        "assets": {"added": ["sums"], "removed": ["totals"], "changed": {"orders": {"code version": ["1", "2"]}}},
        "checks": {"added": ["orders:is_complete"], "removed": ["orders:is_whole"], "changed": {}},
        "jobs": NOTHING,
        "schedules": {"added": [], "removed": [], "changed": {"nightly": {"cron": ["0 3 * * *", "0 4 * * *"]}}},
        "sensors": {"added": ["files"], "removed": ["arrivals"], "changed": {}},
        "resources": {"added": ["store"], "removed": ["shop"], "changed": {}},
    }
    assert change["packages"] == {"added": ["humanize>=4"], "removed": [], "changed": {}}
    said = preview("--dry-run")
    assert "  ~ schedule nightly: cron 0 3 * * * -> 0 4 * * *\n" in said
    assert "  + package humanize>=4\n" in said
    page = preview("--markdown")
    assert "    ~ schedule nightly: cron 0 3 * * * -> 0 4 * * *\n" in page
    assert page.startswith("### What a deployment to yoda would change\n")
    assert [*site.there.rglob("__pycache__")] == [*site.module.rglob("__pycache__")] == []

    # The deployment itself tells the same to its receivers, a job's page and programs, and a rollback the reverse.
    got, job = tmp_path / "got", tmp_path / "page.md"
    cut_off.change(site, notifications=[{"command": f"cat > {got}", "events": ["success", "rollback"]}])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(job))
    task = ["deploy", "yoda", "--allow-dirty", "--no-settle", "--trust", "--json"]
    (outcome,) = json.loads(run(site.root, *task).stdout)
    assert outcome["definitions"]["sales-report"] == change["definitions"]
    for told in (got.read_text(), job.read_text()):
        assert "+ asset sums\n" in told
        assert "~ schedule nightly: cron 0 3 * * * -> 0 4 * * *\n" in told
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert run(site.root, "deploy.rollback", "yoda", "--trust").returncode == 0
    assert "  - asset sums\n" in got.read_text()


def test_details_are_compared_by_name() -> None:
    before = {"jobs": {"a": {"assets": ["x"]}, "b": {}}, "resources": {"r": {"type": "A", "only before": 1}}}
    after = {"jobs": {"a": {"assets": ["x", "y"]}, "c": {}}, "resources": {"r": {"type": "B"}}}
    found = compared(before, after)
    assert found["jobs"] == {"added": ["c"], "removed": ["b"], "changed": {"a": {"assets": [["x"], ["x", "y"]]}}}
    assert found["resources"]["changed"] == {"r": {"type": ["A", "B"]}}


def test_what_is_told_of_many_definitions_has_an_end() -> None:
    """FAULTS S8: on a job's page names are code, without what steers a terminal."""
    added = [f"asset{number:02}" for number in range(30)]
    definitions = {"m": {"assets": {**NOTHING, "added": [*added, "</code>\x1b[2J"]}}}
    outcome = HostOutcome("h", {"m": "new"}, definitions=definitions)
    assert first_lines(definitions["m"], 2) == ["+ asset asset00", "+ asset asset01", "and 29 more definitions"]
    page = summary("yoda", [outcome, HostOutcome("i", {"m": "new"}, definitions={"m": None})])
    assert "\nDefinitions of m:\n\n    + asset asset00\n" in page
    assert "    + asset </code>[2J\n" in page


def test_markdown_of_a_stranger_stays_text() -> None:
    """FAULTS S8: names of definitions and subjects of commits are code, in separate lines."""
    change: dict[str, Any] = {
        "from": None, "release": "new", "commits": ["<img src=x>\x1b[2J"], "not_compared": None, "packages": NOTHING,
        "definitions": {"jobs": {**NOTHING, "added": ["</code>\n# x"]}},
        "files": {"added": [f"{number}.py" for number in range(10)], "removed": [], "changed": []},
        "settings": {"added": ["TOKEN"], "removed": [], "changed": []},
    }  # fmt: skip
    text = markdown("yoda", [{"host": "h", "modules": {"m": change}, "diff": "+<b>"}, {"host": "i", "error": "<gone>"}])
    assert "    <img src=x>[2J" in text
    assert "    + job </code># x" in text
    assert "    + and 2 more" in text
    assert [line for line in text.splitlines() if "<" in line and not line.startswith("    ")] == []
    assert [*lines({**change, "definitions": None, "not_compared": "no Dagster"})] == ["not compared: no Dagster"]

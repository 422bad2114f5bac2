"""Schedules and sensors are over a deployment what people set them to in Dagster."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.deploy import HostOutcome
from dagster_module_builder.deploy.host_side.automation import compared
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.rollback import roll_back
from tests.deploy.sites import Site

DEFINITIONS = """\
import dagster as dg


@dg.asset
def number() -> int:
    return 1


numbers = dg.define_asset_job("numbers", selection=[number])
others = dg.define_asset_job("others", selection=[number])
RUNNING = dg.DefaultScheduleStatus.RUNNING


def sensor(name, job):
    @dg.sensor(name=name, job=job)
    def evaluate():
        return dg.SkipReason("nothing")

    return evaluate


defs = dg.Definitions(
    assets=[number],
    jobs=[numbers, others],
    schedules=[
        dg.ScheduleDefinition(name="nightly", job=numbers, cron_schedule="0 3 * * *"),
        dg.ScheduleDefinition(name="hourly", job=numbers, cron_schedule="0 * * * *", default_status=RUNNING),
        dg.ScheduleDefinition(name="weekly", job=others, cron_schedule="0 3 * * 1", default_status=RUNNING),
        dg.ScheduleDefinition(name="monthly", job=others, cron_schedule="0 3 1 * *"),
    ],
    sensors=[sensor("arrivals", others)],
)
"""
STATES = """{ workspaceLocationEntryOrError(name: "sales_report") { ... on WorkspaceLocationEntry {
  locationOrLoadError { ... on RepositoryLocation { repositories {
    schedules { name canReset scheduleState { status } } sensors { name canReset sensorState { status } } } } } } } }"""


def states(site: Site) -> dict[str, tuple[str, bool]]:
    """Return of each what it is, and whether a person said so."""
    entry = site.dagster.ask(STATES)["workspaceLocationEntryOrError"]["locationOrLoadError"]  # type: ignore[union-attr]
    (repository,) = entry["repositories"]
    every = [*repository["schedules"], *repository["sensors"]]
    return {one["name"]: ((one.get("scheduleState") or one["sensorState"])["status"], one["canReset"]) for one in every}


def set_state(site: Site, mutation: str, name: str) -> None:
    """Do what a person does on Dagster's page."""
    kind = "sensor" if "Sensor" in mutation else "schedule"
    selector = f'repositoryName: "__repository__", repositoryLocationName: "sales_report", {kind}Name: "{name}"'
    text = f"mutation {{ {mutation}({kind}Selector: {{{selector}}}) {{ __typename }} }}"
    site.dagster.ask(text)  # type: ignore[union-attr]


def stop(site: Site, name: str) -> None:
    query = STATES.replace("schedules { name", "schedules { id name")
    found = site.dagster.ask(query)["workspaceLocationEntryOrError"]["locationOrLoadError"]["repositories"]  # type: ignore[union-attr]
    (identity,) = [one["id"] for one in found[0]["schedules"] if one["name"] == name]
    site.dagster.ask(f'mutation {{ stopRunningSchedule(id: "{identity}") {{ __typename }} }}')  # type: ignore[union-attr]


def change(site: Site, *pairs: tuple[str, str]) -> None:
    (path,) = site.module.glob("src/*/definitions.py")
    text = path.read_text()
    for before, after in pairs:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


def notes(outcome: HostOutcome) -> str:
    return "\n".join(outcome.notes)


@pytest.mark.dagster
def test_what_people_set_stays_over_deployments(site: Site) -> None:
    """Also of what is renamed, over a rollback, and over a deployment that paused everything, or failed."""
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text(DEFINITIONS)
    (first,) = site.deploy()
    assert {one["name"] for one in first.automation["stopped"]} == {"nightly", "monthly", "arrivals"}
    assert "New, and stopped until a person starts it in Dagster: schedule monthly, schedule nightly, sensor" in notes(
        first
    )
    set_state(site, "startSchedule", "nightly")
    set_state(site, "startSensor", "arrivals")
    stop(site, "weekly")
    wanted = {
        "nightly": ("RUNNING", True), "hourly": ("RUNNING", False), "weekly": ("STOPPED", True),
        "monthly": ("STOPPED", False), "arrivals": ("RUNNING", True),
    }  # fmt: skip
    assert states(site) == wanted

    # One of each is renamed; a schedule that differs in its times as well is new.
    change(
        site, ('"nightly"', '"every_night"'), ('"weekly"', '"every_week"'), ('"arrivals"', '"files"'),
        ('name="monthly", job=others, cron_schedule="0 3 1', 'name="quarterly", job=others, cron_schedule="0 3 2'),
    )  # fmt: skip
    (second,) = site.deploy(pause=True)
    assert states(site) == {
        "every_night": wanted["nightly"], "hourly": wanted["hourly"], "every_week": wanted["weekly"],
        "quarterly": ("STOPPED", False), "files": wanted["arrivals"],
    }  # fmt: skip
    renamed = {(one["was"], one["name"], one["running"]) for one in second.automation["renamed"]}
    assert renamed == {("nightly", "every_night", True), ("weekly", "every_week", False), ("arrivals", "files", True)}
    assert [one["name"] for one in second.automation["stopped"]] == ["quarterly"]
    assert "The schedule nightly is called every_night now; it runs as before." in notes(second)
    assert not (site.host.base / "modules/.held.json").exists()

    # The rollback has the old names again.
    (third,) = roll_back(find(site.root, "yoda"))
    assert states(site) == wanted
    assert not third.problems

    # Paused, and what Dagster loads fails: the old release runs, with everything as it was.
    before = states(site)
    fails = "if 'DAGSTER_IS_DEFS_VALIDATION_CLI' not in os.environ: raise ValueError('no shop')\n"
    change(site, ("import dagster as dg\n", f"import dagster as dg, os\n{fails}"))
    with pytest.raises(BuilderError, match="did not load it: sales_report"):
        site.deploy(pause=True)
    assert states(site) == before
    assert not (site.host.base / "modules/.held.json").exists()


@pytest.mark.dagster
def test_what_a_killed_deployment_paused_is_given_back_by_the_next_command(site: Site) -> None:
    """As it stands on the host's disk; what no release has any more waits for one that has it."""
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text(DEFINITIONS)
    site.deploy()
    stop(site, "hourly")
    held = {"kind": "schedule", "repository": "__repository__", "location": "sales_report", "next": 1.0}
    held |= {"signature": None, "id": "", "running": True, "explicit": False}
    records = [{**held, "name": "hourly"}, {**held, "name": "gone"}]
    (site.host.base / "modules/.held.json").write_text(json.dumps(records))
    (outcome,) = site.deploy()
    assert states(site)["hourly"] == ("RUNNING", False)
    assert "The tick of hourly at 1970-01-01 00:00:01 UTC was left out" in notes(outcome)
    assert [one["name"] for one in json.loads((site.host.base / "modules/.held.json").read_text())] == ["gone"]


def record(name: str, signature: Any = ("0 3 * * *",), kind: str = "schedule") -> dict[str, Any]:
    return {"location": "sales", "repository": "r", "kind": kind, "name": name, "signature": signature}


def test_only_what_can_be_told_for_sure_counts_as_renamed() -> None:
    def pairs(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
        return [(new["name"], old and old["name"]) for new, old in compared(before, after)]

    assert pairs([record("a")], [record("b")]) == [("b", "a")]
    assert pairs([record("a")], [record("a")]) == []
    assert pairs([record("a")], [record("a"), record("b")]) == [("b", None)]
    assert pairs([record("a"), record("b")], [record("c")]) == [("c", None)]
    assert pairs([record("a")], [record("b"), record("c")]) == [("b", None), ("c", None)]
    assert pairs([record("a")], [record("b", ("0 4 * * *",))]) == [("b", None)]
    assert pairs([record("a", None)], [record("b", None)]) == [("b", None)]
    assert pairs([record("a", kind="sensor")], [record("b")]) == [("b", None)]

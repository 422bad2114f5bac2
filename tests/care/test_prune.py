"""``care.prune`` on real instances of Dagster: what its page shows is the same before and after."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.care import prune, prune_program
from tests import needs
from tests.cli.terminal import Terminal
from tests.ports import free_port
from tests.template import database_servers, environment

BUSY = Path(__file__).with_name("busy_instance.py")
NUMBERS = ("runs", "runs_kept", "events", "checks", "ticks", "evaluations", "compute_logs")
SETTINGS = "telemetry:\n  enabled: false\n"
POSTGRESQL = """\
storage:
  postgres:
    postgres_db:
      hostname: 127.0.0.1
      port: {port}
      username: keeper
      password: secret-1
      db_name: history
      scheme: postgresql+psycopg2
"""


class Busy:
    """An instance with a history."""

    def __init__(self, home: Path, settings: str) -> None:
        home.mkdir()
        (home / "dagster.yaml").write_text(SETTINGS + settings)
        self.home = home
        self.python = environment.made().python

    def run(self, *command: str | Path) -> str:
        environ = {**os.environ, "DAGSTER_HOME": str(self.home)}
        done = subprocess.run([self.python, *command], env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.run(BUSY, "state"))
        return state

    def prune(self, before: float, *, dry_run: bool = False) -> Mapping[str, Any]:
        request = {"before": before, "dry_run": dry_run, "home": str(self.home)}
        lines = [json.loads(line) for line in self.run(prune_program.__file__, json.dumps(request)).splitlines()]
        assert all(done == total for done, total in [line["progress"] for line in lines[:-1]][-1:])
        result: Mapping[str, Any] = lines[-1]["result"]
        assert result["problems"] == []
        return result


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.thorough), "postgresql"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Busy]:
    needs.registry()
    if request.param == "sqlite":
        yield Busy(tmp_path / "home", "")
        return
    (schema := tmp_path / "empty.sql").touch()
    names = {"NAME": "history", "USER": "keeper", "PASSWORD": "secret-1"}
    with database_servers.running("postgresql", port := free_port(), names, schema):
        yield Busy(tmp_path / "home", POSTGRESQL.format(port=port))


@pytest.mark.dagster
@pytest.mark.slow
def test_the_page_shows_the_same_before_and_after(busy: Busy) -> None:
    early = time.time()
    busy.run(BUSY, "make", "2")
    before = busy.state()
    assert len(before["runs"]) == 19
    # Nothing is old, then everything is counted, then removed, and nothing is left for the second time.
    nothing = busy.prune(early)
    assert {nothing[name] for name in ("runs", "runs_kept", "events", "checks", "compute_logs")} == {0}
    counted, removed = busy.prune(time.time(), dry_run=True), busy.prune(time.time())
    # PostgreSQL's own work changes the size meanwhile.
    assert {name: counted[name] for name in NUMBERS} == {name: removed[name] for name in NUMBERS}
    after = busy.state()
    assert after["page"] == before["page"]
    # A plain job, six of partitions that ran again, the first of 'plain' and of 'observed'; the plain job that is
    # repeated by a run that has not ended stays whole.
    assert (removed["runs"], len(after["runs"])) == (9, 10)
    assert removed["checks"] == 1
    assert after["tags_of_no_event"] == 0
    assert after["events"] < before["events"] / 2
    (whole,) = [run for run, (name, _) in after["runs"].items() if name == "plain_job" and not run.startswith("0000")]
    assert after["logs"][whole] == before["logs"][whole]
    # Of each state the latest; the one that has not ended stays.
    assert sorted(after["ticks"]) == ["SKIPPED", "STARTED", "SUCCESS"]
    again = busy.prune(time.time())
    assert {again[name] for name in ("runs", "events", "checks", "ticks")} == {0}


@pytest.mark.parametrize(("age", "seconds"), [("90d", 7776000), ("12h", 43200), (" 2w", 1209600), ("0d", 0)])
def test_an_age_is_read(age: str, seconds: int) -> None:
    assert prune.seconds_of(age) == seconds


@pytest.mark.parametrize("age", ["", "90", "d", "-1d", "1.5d", "1y", "90 days"])
def test_what_is_no_age_is_refused(age: str) -> None:
    with pytest.raises(UsageError, match="12h, 90d or 2w"):
        prune.seconds_of(age)


def test_a_workspace_that_never_ran_has_nothing_to_prune(made: Terminal) -> None:
    assert "There is nothing to prune" in made.refused("care.prune", "--yes")
    assert "pass --yes" in made.refused("care.prune")


@pytest.mark.dagster
@pytest.mark.slow
def test_the_instance_of_materialize_is_pruned_as_it_is_typed(workspace: Terminal) -> None:
    needs.registry()
    workspace.environment["UV_CACHE_DIR"] = str(Path.home() / ".cache/uv")
    workspace.done("new", "sales", "--no-input", "--workspace", "yes")
    for _ in range(2):
        workspace.done("workspace.materialize", "sales")
    (counted,) = json.loads(workspace.done("care.prune", "--older-than", "0h", "--dry-run", "--json"))["instances"]
    assert (counted["instance"], counted["runs"], counted["runs_kept"]) == ("native", 1, 1)
    said = workspace.done("care.prune", "--older-than", "0h", "--yes")
    assert "native: removed 1 run, " in said
    assert "1 old run with the latest of an asset or check kept that." in said
    assert json.loads(workspace.done("workspace.list", "--json"))["modules"][0]["last_materialization"]

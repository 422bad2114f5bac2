"""What Dagster's servers and runs on a host have written, and the latest runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.deploy.host_side import log_lines, server_logs
from dagster_module_builder.deploy.logs import since_of
from tests.deploy.program import PROGRAM, run
from tests.deploy.sites import Site

BEGUN = datetime(2026, 1, 5, 6, 0, tzinfo=timezone.utc).timestamp()
LINES = """\
2026-01-05 06:00:00 +0000 - dagster.daemon - INFO - it began
2026-01-05 07:00:01 +0100 - dagster.daemon - ERROR - it failed
Traceback (most recent call last):
  File "x.py", line 1
ValueError: no such shop

INFO:     Started server process [1]
\x1b[31m2026-01-05 06:00:02 +0000 - dagster - WARNING - red\x1b[0m
""".splitlines()


def entries(lines: list[str]) -> list[dict[str, object]]:
    return [*log_lines.entries("daemon", ((None, line) for line in lines))]


def test_lines_become_entries_with_their_time_and_level() -> None:
    found = entries(LINES)
    assert [(one["time"], one["level"]) for one in found] == [
        (BEGUN, "INFO"), (BEGUN + 1, "ERROR"), (BEGUN + 1, "INFO"), (BEGUN + 2, "WARNING"),
    ]  # fmt: skip
    assert str(found[1]["text"]).splitlines()[-1:] == ["ValueError: no such shop"]
    assert [found[2]["text"], found[3]["text"]] == ["Started server process [1]", "red"]


def test_entries_are_chosen_by_level_text_time_and_number() -> None:
    found = entries(LINES)
    chosen = log_lines.chosen
    assert [one["level"] for one in chosen(found, "WARNING", "", None, 9)] == ["ERROR", "WARNING"]
    assert [one["level"] for one in chosen(found, "DEBUG", "NO SUCH", None, 9)] == ["ERROR"]
    assert [one["text"] for one in chosen(found, "DEBUG", "", BEGUN + 2, 9)] == ["red"]
    assert [one["text"] for one in chosen(found, "DEBUG", "", None, 1)] == ["red"]


def test_a_file_is_read_on_from_where_it_was_left(tmp_path: Path) -> None:
    """A line that is being written is left; a file that was replaced is read from its beginning."""
    path = tmp_path / "daemon.log"
    path.write_text("one\ntw")
    lines, cursor = server_logs.of_file(str(path), None)
    assert [line for _, line in lines] == ["one"]
    with path.open("a") as file:
        file.write("o\nthree\n")
    lines, cursor = server_logs.of_file(str(path), cursor)
    assert [line for _, line in lines] == ["two", "three"]
    assert server_logs.of_file(str(path), cursor)[0] == []
    (tmp_path / "new").write_text("four\n")
    (tmp_path / "new").rename(path)
    assert [line for _, line in server_logs.of_file(str(path), cursor)[0]] == ["four"]


def test_a_time_is_an_age_or_a_date() -> None:
    assert [since_of(text, 1e6) for text in ("10s", "10m", "2h", "3d")] == [999990, 999400, 992800, 740800]
    assert since_of("2026-01-05T06:00+00:00", 0) == BEGUN
    for text in ("", "10", "m", "yesterday", "-1h"):
        with pytest.raises(UsageError, match="is no time"):
            since_of(text, 0)


FAILING = """\
import dagster as dg


@dg.asset
def number(context):
    context.log.warning("the shop is \\x1b]0;x\\x07closed")
    print("printed by the step")
    raise ValueError("no such shop")


@dg.job
def nothing():
    pass


defs = dg.Definitions(assets=[number], jobs=[dg.define_asset_job("numbers"), nothing], executor=dg.in_process_executor)
"""


def runs_there(site: Site) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = json.loads(run(site.root, "deploy.runs", "yoda", "--json").stdout)[0]["runs"]
    return runs


@pytest.mark.dagster
def test_runs_and_their_events(site: Site) -> None:
    (path,) = site.module.glob("src/*/definitions.py")
    path.write_text(FAILING)
    site.deploy()
    # Other tests' runs are in the same Dagster.
    before = runs_there(site)
    launched = site.dagster.launch("sales_report", "numbers")  # type: ignore[union-attr]
    follower = subprocess.Popen(
        ["timeout", "240", PROGRAM, "deploy.logs", "yoda", "--follow", "--text", "no such shop"],
        env={**os.environ, "DAGSTER_WORKSPACE": str(site.root)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        site.dagster.await_run(launched, "FAILURE")  # type: ignore[union-attr]
        assert follower.stdout
        # The webserver's own log has the run's events, too.
        assert any(f"run {launched[:8]} ERROR number: " in line for line in follower.stdout)
    finally:
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=30)
    (found,) = [one for one in runs_there(site) if one not in before]
    assert (found["id"], found["status"], found["job"]) == (launched, "FAILURE", "numbers")
    assert (found["location"], found["release"]) == ("sales_report", site.current())
    assert 0 < found["seconds"] < 600
    assert abs(found["begun"] - time.time()) < 3600
    listed = run(site.root, "deploy.runs", "yoda", "--status", "failure")
    assert f"{launched[:8]}  FAILURE  numbers" in listed.stdout, listed
    assert launched[:8] not in run(site.root, "deploy.runs", "yoda", "--status", "SUCCESS").stdout

    said = run(site.root, "deploy.logs", "yoda", "--run", launched[:8], "--lines", "1000").stdout
    assert "WARNING number: the shop is \\x1b]0;x\\x07closed" in said
    assert "ValueError: no such shop" in said
    assert "stdout INFO printed by the step" in said
    only = run(site.root, "deploy.logs", "yoda", "--run", launched[:8], "--level", "warning", "--json").stdout
    assert {json.loads(line)["level"] for line in only.splitlines()} == {"WARNING", "ERROR"}
    assert run(site.root, "deploy.logs", "yoda", "--run", launched, "--since", "2099-01-01").stdout.strip() == ""
    unknown = run(site.root, "deploy.logs", "yoda", "--run", "0000")
    assert (unknown.returncode, "'deploy.runs' lists them" in unknown.stderr) == (1, True), unknown
    # The webserver was started by hand; its log is the file that it writes to.
    servers = run(site.root, "deploy.logs", "yoda", "--json", "--lines", "1000").stdout
    assert {json.loads(line)["source"] for line in servers.splitlines()} >= {"webserver", f"run {launched[:8]}"}

"""Dagster's daemon knows a module's first release when the command has ended: a run that is queued then succeeds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.deploy.hosts import host_run
from tests import needs
from tests.deploy import sshd
from tests.deploy.dagster_host import QUEUE, DagsterHost
from tests.deploy.modules import make_deployment, make_module
from tests.deploy.sites import Site

LAUNCH = """mutation { launchRun(executionParams: {mode: "default", selector: {
    repositoryLocationName: "sales_report", repositoryName: "__repository__", jobName: "numbers"}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
#: Instead of a minute.
READS = 8.0


@pytest.fixture
def place(tmp_path: Path, dagster_python: str) -> Iterator[Site]:
    """Give a host whose daemon takes runs from a queue, and has just read the workspace."""
    needs.programs("rsync")
    root = tmp_path / "workspace"
    module = make_module(root)
    (definitions,) = module.glob("src/*/definitions.py")
    definitions.write_text(definitions.read_text().replace("jobs=", "executor=dg.in_process_executor, jobs="))
    with sshd.hosts(tmp_path / "hosts") as (host,):
        dagster = DagsterHost(host.base, settings=QUEUE, daemon_reads=READS)
        try:
            dagster.start()
            (host.base / "modules").mkdir()
            make_deployment(module, [host], [dagster.url], dagster_python)
            yield Site(root, module, host, dagster)
        finally:
            dagster.stop()


@pytest.mark.slow
def test_a_run_that_is_queued_after_the_first_deployment(place: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_run, "DAEMON_READS", READS + 1)
    (outcome,) = place.deploy(settle=True)
    assert "Dagster's daemon has read the workspace again." in outcome.notes
    answer = place.dagster.ask(LAUNCH)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    status = ""
    for _ in range(600):
        status = place.dagster.ask(STATUS, {"run": answer["run"]["runId"]})["runOrError"]["status"]
        if status in {"SUCCESS", "FAILURE"}:
            break
        time.sleep(0.1)
    assert status == "SUCCESS", (place.dagster.home / "daemon.log").read_text()[-4000:]

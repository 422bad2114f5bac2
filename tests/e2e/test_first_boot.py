"""A workspace that has never run comes up whole, every time."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.stack import LOCATIONS, SERVICES, Stack

if TYPE_CHECKING:
    from pathlib import Path

# It has its own stack, in another process than the tests that share one: it takes as long as half of them.
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.xdist_group("first boots")]

#: How often in a row. A race that shows in three of twelve first boots shows in four with 68 % certainty, and in the
#: twelve of ``nox -s boots`` with 97 %.
BOOTS = int(os.environ.get("DAGSTER_E2E_BOOTS", "4"))

#: What the storage's migrations say when two processes begin with them at once.
RACES = ("more than one head", "Multiple head", "already exists")


def test_a_port_that_is_taken_is_named(made_stack: Stack) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", made_stack.port))
        other.listen()
        refused = made_stack.run("workspace.up", "--no-build")
    assert refused.returncode == 1
    assert str(made_stack.port) in refused.stderr
    assert "Traceback" not in refused.stderr


def test_comes_up_from_nothing_time_after_time(made_stack: Stack, artifacts: Path) -> None:
    stack = made_stack
    seconds = []
    for _ in range(BOOTS):
        stack.compose("down", "--volumes", "--timeout", "0")
        started = time.monotonic()
        stack.command("workspace.up", "--no-build")
        stack.dagster.await_locations(*LOCATIONS)
        seconds.append(round(time.monotonic() - started, 1))
        _assert_well(stack)
    (artifacts / "boot-seconds.json").write_text(json.dumps(seconds))


def _assert_well(stack: Stack) -> None:
    containers = stack.containers()
    assert set(containers) == {*SERVICES, "dagster_migrate"}
    assert {name: containers[name] for name in SERVICES if not containers[name].well} == {}
    assert containers["dagster_migrate"].exit_code == 0
    assert stack.dagster.unwell_daemons() == []
    said = stack.logs("dagster_migrate", "dagster_webserver", "dagster_daemon")
    assert [race for race in RACES if race in said] == [], said

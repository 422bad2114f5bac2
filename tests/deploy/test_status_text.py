"""FAULTS G: what a table says of a code location that does not load is a line, not a page of gRPC."""

from __future__ import annotations

import pytest

from dagster_module_builder.commands.deploy_reports import _cut
from dagster_module_builder.deploy.status import reason

#: As Dagster 1.13 passes it on when a code server has gone.
GRPC = """\
dagster._core.errors.DagsterUserCodeUnreachableError: Could not reach user code server. gRPC Error code: UNAVAILABLE
The above exception was caused by the following exception:
grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC that terminated with:
\tstatus = StatusCode.UNAVAILABLE
\tdetails = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:4000: Connection refused"
\tdebug_error_string = "UNKNOWN:Error received from peer  {created_time:\\"2026-01-05\\", grpc_status:14}"
>
"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (GRPC, "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:4000: Connection refused"),
        ('Error:\n  File "a.py", line 3\nValueError: no such shop\n\n', "ValueError: no such shop"),
        ("LOADING", "LOADING"),
        ("\n>\n", "not loaded"),
    ],
)
def test_the_line_that_says_why_is_shown(error: str, line: str) -> None:
    assert reason(error) == line


def test_a_cell_has_a_limit() -> None:
    assert _cut("x" * 80) == "x" * 80
    assert _cut("x" * 2000) == "x" * 79 + "…"

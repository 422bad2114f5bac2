"""A module with a database writes to a real server, and says what is wrong when it cannot."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.ports import free_port
from tests.template import environment
from tests.template.database_servers import running

if TYPE_CHECKING:
    from tests.template.rendering import Desk, Rendering

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]

PASSWORD = "p@ss/w:rd %41"

MATERIALIZE = """
import dagster as dg
from sales_report_dagster.definitions import defs
from sales_report_dagster.resources import RESOURCES

job = defs.resolve_implicit_global_asset_job_def()
for _ in range(2):
    assert job.execute_in_process(instance=dg.DagsterInstance.ephemeral()).success
with RESOURCES["database"].begin() as connection:
    print(connection.exec_driver_sql("SELECT count(*), sum(penguins) FROM penguin_summary").one())
"""

CONNECT = """
from sales_report_dagster.resources import RESOURCES

with RESOURCES["database"].begin():
    pass
"""


def run(rendering: Rendering, script: str, storage: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [environment.made().python, "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(rendering.module / "src"),
            "DAGSTER_STORAGE_DIR": str(storage),
            **{f"SALES_REPORT_DB_{name}": value for name, value in variables.items()},
        },
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_real_server_gets_the_summary_and_its_absence_is_explained(desk: Desk, kind: str):
    needs.registry()
    rendering = desk.rendered(database=kind)
    settings = {"NAME": "sales_report", "USER": "sales_report_user", "PASSWORD": PASSWORD}
    port = free_port()
    variables = {"PORT": str(port), **settings}
    schema = rendering.module / "workspace/local/schema.sql"

    with running(kind, port, settings, schema):
        done = run(rendering, MATERIALIZE, desk.root / "storage", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "(6, " in done.stdout
        assert "333" in done.stdout

        wrong = run(rendering, CONNECT, desk.root, **{**variables, "PASSWORD": "another"})
        assert "SALES_REPORT_DB_PASSWORD is not the password" in wrong.stderr

    away = run(rendering, CONNECT, desk.root, **variables)
    assert "start it (docker compose up -d sales_report_db)" in away.stderr
    missing = run(rendering, CONNECT, desk.root, **{**variables, "PASSWORD": ""})
    assert "SALES_REPORT_DB_PASSWORD is not set" in missing.stderr
    assert PASSWORD not in wrong.stderr + away.stderr + missing.stderr

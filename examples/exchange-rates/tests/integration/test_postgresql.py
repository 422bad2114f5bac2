"""The assets on a PostgreSQL server of Debian's package, which is started here with the module's schema."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from sqlalchemy import text

from exchange_rates_dagster.assets import ASSETS
from exchange_rates_dagster.checks import CHECKS
from exchange_rates_dagster.database import Database

SCHEMA = Path(__file__).parents[2] / "workspace/local/schema.sql"
# PostgreSQL refuses to run as root.
OWNER: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Give the address of an empty server."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.fail("These tests need PostgreSQL: apt-get install postgresql", pytrace=False)
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        if OWNER:
            shutil.chown(folder, "postgres", "postgres")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        data = f"{folder}/data"
        initdb = [programs[-1] / "initdb", "--username=test", "--auth=trust", "--encoding=UTF8", f"--pgdata={data}"]
        subprocess.run(initdb, check=True, cwd=folder, stdout=subprocess.DEVNULL, **OWNER)
        free.close()
        command = [programs[-1] / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder, "-F"]
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **OWNER) as process:
            address = f"127.0.0.1:{port}/postgres"
            wait_for(f"postgresql://test@{address}", process)
            yield f"postgresql+psycopg://test@{address}"
            # A fast shutdown, which does not wait for connections.
            process.send_signal(signal.SIGINT)


def wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        with suppress(psycopg.OperationalError):
            psycopg.connect(url).close()
            return
    pytest.fail("PostgreSQL does not start", pytrace=False)


@pytest.fixture
def database(server: str) -> Database:
    database = Database(url=server)
    with database.begin() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS exchange_rates; {SCHEMA.read_text()}"))
    return database


def test_a_second_run_replaces_the_rates_of_the_first(resources: dict[str, Any], database: Database):
    for _ in range(2):
        result = dg.materialize([*ASSETS, *CHECKS], resources=resources)
        assert all(check.passed for check in result.get_asset_check_evaluations())

    with database.begin() as connection:
        rows = connection.execute(text("SELECT day::text, currency, rate FROM exchange_rates ORDER BY 1, 2")).all()
    assert rows == [("2026-03-02", "GBP", 0.85), ("2026-03-02", "USD", 1.08), ("2026-03-03", "USD", 1.09)]

"""``DAGSTER_STORAGE_DIR=s3://…`` moves a module's storage to an S3 server."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.template import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.template.rendering import Desk

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]


@pytest.fixture
def s3_server() -> Iterator[str]:
    """Moto's server, on a port that the system chooses; yields its address."""
    needs.registry()
    command = [environment.made("s3").program("moto_server"), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stderr
        try:
            yield next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            server.terminate()


def test_values_partitions_and_errors_are_the_same_on_s3(desk: Desk, s3_server: str):
    rendering = desk.rendered(requires_s3="yes")
    script = Path(__file__).with_name("storage_on_s3.py")

    done = subprocess.run(
        [environment.made().python, script, rendering.package.name],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(desk.home),
            "PYTHONPATH": str(rendering.module / "src"),
            "DAGSTER_STORAGE_DIR": "s3://bucket/stored",
            "AWS_ENDPOINT_URL": s3_server,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == str(
        [
            "bucket/stored/here/made/%2E.%2Fb.data",
            "bucket/stored/here/made/2026-01-01.data",
            "bucket/stored/here/made/c%2Fd.data",
            "bucket/stored/shared.data",
            "bucket/stored/used.data",
        ]
    )

"""``DAGSTER_STORAGE_DIR=s3://…`` or ``gs://…`` moves a module's storage to a server of objects."""

from __future__ import annotations

import os
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.template import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.template.rendering import Desk

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Moto's server, on a port that the system chooses; yields the variables of who speaks to it."""
    command = [environment.made("s3").program("moto_server"), "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stderr
        try:
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
            yield {"AWS_ENDPOINT_URL": address, **keys}
        finally:
            server.terminate()


@contextmanager
def gcs_server() -> Iterator[dict[str, str]]:
    """An emulator of Google Cloud Storage, on a port that the system chooses; yields the variables as well."""
    script = Path(__file__).with_name("gcs_server.py")
    with subprocess.Popen(
        [environment.made("gcs").python, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as server:
        assert server.stdin
        assert server.stdout
        try:
            yield {
                "STORAGE_EMULATOR_HOST": server.stdout.readline().strip(),
                "GCSFS_DEFAULT_PROJECT": "project",
                "FSSPEC_GCS_TOKEN": "anon",
                # It asks for the kind of a bucket over gRPC, which the emulator does not speak, for a minute.
                "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
            }
        finally:
            server.stdin.close()


@pytest.mark.parametrize(("scheme", "server"), [("s3", s3_server), ("gs", gcs_server)], ids=["s3", "gs"])
def test_values_partitions_and_errors_are_the_same_on_objects(
    desk: Desk, scheme: str, server: Callable[[], AbstractContextManager[dict[str, str]]]
):
    needs.registry()
    rendering = desk.rendered(**{"requires_s3" if scheme == "s3" else "requires_gcs": "yes"})
    script = Path(__file__).with_name("storage_on_objects.py")

    with server() as variables:
        done = subprocess.run(
            [environment.made().python, script, rendering.package.name],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(desk.home),
                "PYTHONPATH": str(rendering.module / "src"),
                "DAGSTER_STORAGE_DIR": f"{scheme}://bucket/stored",
                **variables,
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

"""``DAGSTER_STORAGE_DIR=s3://…`` or ``gs://…`` moves a module's storage to a server of objects."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.template import environment
from tests.template.s3_server import s3_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.template.rendering import Desk

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]


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
            "bucket/stored/columns.data",
            "bucket/stored/here/made/%2E.%2Fb.data",
            "bucket/stored/here/made/2026-01-01.data",
            "bucket/stored/here/made/c%2Fd.data",
            "bucket/stored/lazy.data",
            "bucket/stored/shared.data",
            "bucket/stored/used.data",
        ]
    )

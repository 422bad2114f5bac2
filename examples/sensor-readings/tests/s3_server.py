"""Moto's server on this machine, which answers as Amazon S3 does."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Run the server for a while; yield the variables with which s3fs speaks to it."""
    program = shutil.which("moto_server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if program is None:
        pytest.fail("These tests need moto's server: pip install --editable '.[dev]'", pytrace=False)
    command = [program, "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8") as server:
        assert server.stderr
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://[\d.:]+", line)))
        keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
        try:
            yield {"AWS_ENDPOINT_URL": address, **keys}
        finally:
            server.terminate()

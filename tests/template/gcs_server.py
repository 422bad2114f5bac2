"""Run by the tests in a separate environment: serves like Google Cloud Storage until standard input ends."""

import sys

from gcp_storage_emulator.server import create_server

with create_server("127.0.0.1", 0, in_memory=True) as server:
    # It does not tell which port the system chose.
    print(f"http://127.0.0.1:{server._api._httpd.server_port}", flush=True)  # noqa: T201  # what the tests read
    sys.stdin.read()

"""Carries out what a conversation asks of a host, each time in a separate process that waits for a tracer first.

Reads lines as ``tests.engine.driver`` does; the argument is the address of the host's Dagster. The base path that it is
given is as ``tests.deploy.spread`` makes it.
"""

from __future__ import annotations

import base64
import os
import traceback
from pathlib import Path

from dagster_module_builder.deploy.host_side import inspection, keep_or_undo, switching
from dagster_module_builder.deploy.host_side.client import Client
from dagster_module_builder.deploy.host_side.errors import RefusedError
from dagster_module_builder.deploy.host_side.files import digest
from dagster_module_builder.deploy.host_side.host import Host
from tests.engine.driver import CRASHED, DONE, REFUSED, main

MODULE, SNAKE = "sales-report", "sales_report"
OLD, NEW = "20260101T000000Z-old", "20260201T000000Z-new"


def workspace(base: Path, release: str) -> bytes:
    """Return a workspace file that names a release."""
    where = base / "modules" / MODULE / "releases" / release / "src"
    entry = f"package_name: {SNAKE}_dagster.definitions, working_directory: {where}, location_name: {SNAKE}"
    return f"load_from:\n  - python_package: {{{entry}}}\n".encode()


def env(release: str) -> bytes:
    """Return the settings of a release."""
    return f"SALES_REPORT_TOKEN='{release}'\n".encode()


def opened(base: Path, url: str) -> Host:
    """Begin as a deployment does: with the lock, after whatever was left half done is undone."""
    reader, _ = os.pipe()
    nowhere = Path(os.devnull).open("wb")  # noqa: SIM115 - for as long as the process lives
    host = Host(Client(os.fdopen(reader, "rb"), nowhere))
    files = ["workspace.yaml", ".env"]
    inspection.inspect(host, str(base), url, [MODULE], files, [], {"who": "test", "command": "test"})
    return host


def switch(base: Path, url: str) -> None:
    """Switch to the new release, and let it stand; where that fails, put the old one back, as a client asks."""
    host = opened(base, url)
    # What an earlier deployment left unfinished has been removed; now one brings its release.
    (base / "modules" / MODULE / "ready").rename(f"{host.release(MODULE, NEW)}.tmp")
    files = []
    for name, text in (("workspace.yaml", workspace(base, NEW)), (".env", env(NEW))):
        before = digest((base / name).read_bytes())
        files.append({"path": name, "before": before, "text": base64.b64encode(text).decode(), "mode": 0o600})
    module = {"module": MODULE, "release": NEW, "new": True, "env": base64.b64encode(env(NEW)).decode()}
    expect = {SNAKE: str(base / "modules" / MODULE / "releases" / NEW / "src")}
    try:
        switching.switch(host, files, [module], expect)
        keep_or_undo.keep(host, [MODULE], 2, {"action": "deploy"})
    except (RefusedError, OSError):
        keep_or_undo.go_back(host, [MODULE], {"action": "deploy"})
        raise


COMMANDS = {"switch": switch, "recover": opened}


def carry_out(command: str, base: Path, url: str) -> int:
    try:
        COMMANDS[command](base, url)
    except (RefusedError, OSError):
        return REFUSED
    except BaseException:  # noqa: BLE001 - whatever it was, the test shows it
        (base / "traceback.txt").write_text(traceback.format_exc())
        return CRASHED
    return DONE


if __name__ == "__main__":
    main(carry_out)

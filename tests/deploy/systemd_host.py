"""Starts, looks at and stops a host's Dagster under a real ``systemd --user``; ``inside`` has one in a namespace.

The webserver is the stand-in, and the daemon one that waits: what is tried is systemd's side of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dagster_module_builder.deploy.host_side import running, service, systemd
from dagster_module_builder.deploy.host_side.dagster import Dagster
from tests.deploy.host_here import host_here

#: Gives a machine that was not started by systemd what a user's one asks for: its mark, its group, its folder.
INSIDE = """\
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system /run/user/0 && chmod 700 /run/user/0 || exit 9
test -e /sys/fs/cgroup/cgroup.controllers || test -d /sys/fs/cgroup/systemd ||
    { mkdir -p /sys/fs/cgroup/systemd && mount -t cgroup -o none,name=systemd systemd /sys/fs/cgroup/systemd; }
group=/sys/fs/cgroup/systemd; test -d $group || group=/sys/fs/cgroup
mkdir -p $group/units-of-a-test-$$ && echo $$ >$group/units-of-a-test-$$/cgroup.procs
export XDG_RUNTIME_DIR=/run/user/0
/lib/systemd/systemd --user & systemd=$!
for _ in $(seq 100); do systemctl --user show-environment >/dev/null 2>&1 && break; sleep 0.1; done
"$@"; code=$?
systemctl --user exit; wait $systemd
exit $code
"""
#: A Python with a Dagster that has nothing to migrate.
PYTHON = """\
#!/bin/sh
[ "$1 $2" = "-m dagster" ] && exit
exec {python} "$@"
"""


def furnish(base: Path, port: int) -> None:
    """Make the service's files, as for a Dagster that is a stand-in."""
    folder = base / "dagster-service"
    (folder / "home").mkdir(parents=True)
    (folder / "home/dagster.yaml").write_text("")
    python = folder / "environments/e/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    (base / "workspace.yaml").write_text("load_from: []\n")
    webserver = [str(python), "-m", "tests.deploy.quick_dagster", str(base), str(port)]
    commands = {"webserver": webserver, "daemon": [str(python), "-c", "import time; time.sleep(600)"]}
    environ = {"PYTHONPATH": str(Path.cwd())}
    settings = {"folder": str(base), "port": port, "environ": environ, "commands": commands}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "start.py").write_bytes(running_start())


def running_start() -> bytes:
    from dagster_module_builder.deploy.host_side.service import STARTER  # noqa: PLC0415 - named where it is used

    return STARTER


def tried(base: Path, port: int) -> dict[str, Any]:
    """Start the service, twice; kill its webserver; stop it. Return what was seen."""
    host = host_here(base)
    host.dagster = Dagster(f"http://127.0.0.1:{port}")
    first = running.start_service(host, ".", changed=True)
    again = running.start_service(host, ".", changed=False)
    unit = systemd.unit_name(host, ".", "webserver")
    before = main_process(host, unit)
    os.kill(before, signal.SIGKILL)
    until = time.monotonic() + 60
    while main_process(host, unit) in {0, before} and time.monotonic() < until:
        time.sleep(0.1)
    after = main_process(host, unit)
    enabled = systemd.systemctl(host, "is-enabled", unit)[1].strip()
    stopped = running.stop_service(host, ".")
    left = [name for name in service.PROCESSES if running.is_running(host, ".", name, by_systemd=True)]
    return {
        "first": first, "again": again, "restarted": after not in {0, before}, "enabled": enabled,
        "stopped": stopped, "left": left, "enabled_after": systemd.systemctl(host, "is-enabled", unit)[1].strip(),
    }  # fmt: skip


def main_process(host: Any, unit: str) -> int:
    return int(systemd.systemctl(host, "show", "--property=MainPID", "--value", unit)[1].strip() or 0)


if __name__ == "__main__":
    found = tried(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(found), flush=True)  # noqa: T201 - whoever started it reads this
    os._exit(0)

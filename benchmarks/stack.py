"""Code servers of many code locations, as Dagster starts them, and as forks of one process: memory, start, reload.

    python benchmarks/stack.py [--locations 12] [--as-dagster 4]

Every location imports pandas. Memory is the proportional set size (PSS) of each process, by /proc/PID/smaps_rollup:
what is shared counts once. Dagster starts two servers a location, one for its webserver and one for its daemon.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from dagster_module_builder import module_servers
from tests.deploy import dagster_host

CODE = """\
import dagster as dg
import pandas as pd

@dg.asset(key_prefix="NAME")
def raw() -> pd.DataFrame:
    return pd.DataFrame({"a": [1]})

defs = dg.Definitions(assets=[raw])
"""
#: Reloads one location again and again, and prints the seconds of each.
RELOAD = """\
import sys, time
from dagster._grpc.client import DagsterGrpcClient
client = DagsterGrpcClient(socket=sys.argv[1])
for _ in range(5):
    before, started = client.get_server_id(), time.perf_counter()
    client.reload_code(timeout=120)
    assert client.get_server_id() != before
    print(time.perf_counter() - started)
"""


def pss(pid: int) -> float:
    """Return a process's proportional set size, in MB."""
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1000


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 900
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def write(folder: Path, count: int) -> list[str]:
    names = [f"module_{number}" for number in range(count)]
    lines = ["load_from:"]
    for name in names:
        (folder / name).mkdir()
        (folder / name / f"{name}_code.py").write_text(CODE.replace("NAME", name))
        lines.append(
            f"  - python_module: {{module_name: {name}_code, working_directory: {name}, location_name: {name}}}"
        )
    (folder / "workspace.yaml").write_text("\n".join(lines) + "\n")
    return names


def as_dagster(python: str, folder: Path, names: list[str], environ: dict[str, str]) -> dict[str, float]:
    started = time.perf_counter()
    running, sockets = [], []
    for name in names:
        for user in ("webserver", "daemon"):
            sockets.append(folder / f"{name}.{user}")
            line = ["-m", "dagster", "api", "grpc", "--socket", str(sockets[-1]), "-m", f"{name}_code", "-d", name]
            running.append(
                subprocess.Popen(
                    [python, *line], cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
                )
            )
    until(lambda: all(socket.exists() for socket in sockets))
    seconds = time.perf_counter() - started
    # The last one to listen has loaded its code; memory settles a moment later.
    time.sleep(2)
    memory = [pss(process.pid) for process in running]
    for process in running:
        process.terminate()
        process.wait()
    return {"MB a location": sum(memory) / len(names), "MB in all": sum(memory), "seconds to start all": seconds}


def as_forks(python: str, folder: Path, names: list[str], environ: dict[str, str]) -> dict[str, float]:
    started = time.perf_counter()
    program, log = Path(module_servers.__file__).parent, folder / "log"
    line = ["--workspace", "workspace.yaml", "--served", "served.yaml", "--sockets", "sockets"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, program, *line], cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=file
        )
    try:
        until((folder / "served.yaml").exists)
        seconds = time.perf_counter() - started
        time.sleep(2)
        servers = [int(pid) for pid in re.findall(r"is served by process (\d+)", log.read_text())]
        assert len(servers) == len(names)
        memory, parent = [pss(pid) for pid in servers], pss(process.pid)
        socket = str(folder / "sockets" / f"{names[0]}.sock")
        told = subprocess.run(
            [python, "-c", RELOAD, socket], env=environ, check=True, stdout=subprocess.PIPE, text=True
        ).stdout
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    return {
        "MB a location": statistics.mean(memory),
        "MB of the process above": parent,
        "MB in all": sum(memory) + parent,
        "seconds to start all": seconds,
        "seconds of a reload": statistics.median(map(float, told.split())),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--locations", type=int, default=12)
    parser.add_argument("--as-dagster", type=int, default=4, help="locations that are also served as Dagster does")
    arguments = parser.parse_args()
    python, folder = dagster_host.python(), Path(tempfile.mkdtemp())
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environ = {**os.environ, "DAGSTER_HOME": str(home)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    make = (
        "from dagster import DagsterInstance as I; I.get().event_log_storage.all_asset_keys(); I.get().get_runs_count()"
    )
    try:
        names = write(folder, arguments.locations)
        subprocess.run([python, "-c", make], env=environ, check=True)
        figures = {f"{len(names)} as forks": as_forks(python, folder, names, environ)}
        some = names[: arguments.as_dagster]
        if some:
            figures[f"{len(some)} as Dagster starts them"] = as_dagster(python, folder, some, environ)
    finally:
        shutil.rmtree(folder)
    for what, measured in figures.items():
        for name, value in measured.items():
            print(f"{what:<28} {name:<26} {value:8.1f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()

"""The module's IO manager beside Dagster's FilesystemIOManager: processor time, memory and size of files.

python benchmarks/io_manager.py [--megabytes 192] [--runs 5] [--python PYTHON] [--module FOLDER ...]

Each write and each read is a fresh process; the managers take turns. Processor time is that of ``handle_output`` and
``load_input``, after both have stored and loaded a small value. Memory is the process's peak (``ru_maxrss``).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
FRAMES = ("random", "orders", "text", "polars")


def frame(kind: str, megabytes: int) -> Any:
    """Return a frame of so many megabytes: random numbers, a table of orders, or text."""
    import numpy as np
    import pandas as pd

    random, rows = np.random.default_rng(0), megabytes * 1_000_000 // 48
    if kind == "text":
        rows = megabytes * 1_000_000 // 160
        cities, notes = ["Berlin", "Paris", "Rome", "Oslo"], [f"A note of some length, number {n}" for n in range(5000)]
        return pd.DataFrame(
            {
                "id": np.arange(rows),
                "name": [f"customer {number}" for number in range(rows)],
                "city": random.choice(cities, rows),
                "note": random.choice(notes, rows),
                "value": random.random(rows),
            }
        )
    if kind == "random":
        return pd.DataFrame({name: random.random(rows) for name in "abcdef"})
    orders = {
        "id": np.arange(rows),
        "day": np.datetime64("2026-01-01", "us") + random.integers(0, 1000, rows).astype("timedelta64[D]"),
        "amount": (random.random(rows) * 10_000).round(2),
        "count": random.integers(0, 100, rows),
        "weight": random.random(rows),
        "customer": random.integers(0, 1 << 40, rows),
    }
    if kind == "polars":
        import polars as pl

        return pl.DataFrame(orders)
    return pd.DataFrame(orders)


def manager(name: str, folder: str) -> Any:
    """Return an IO manager: Dagster's, or that of a module whose ``src`` is given."""
    import dagster as dg

    if name == "FilesystemIOManager":
        return dg.FilesystemIOManager(base_dir=folder).create_io_manager(dg.build_init_resource_context())
    import importlib

    (package,) = Path(name, "src").glob("*_dagster")
    sys.path.insert(0, str(package.parent))
    storage = importlib.import_module(f"{package.name}.storage")
    return storage.ModuleStorage(base_path=folder).create_io_manager(dg.build_init_resource_context())


def measure(name: str, kind: str, megabytes: int, folder: str, action: str) -> None:
    """Write or read a frame; print the seconds of the processor, the peak of memory, and the size of the file."""
    import dagster as dg

    storage = manager(name, folder)
    context = {key: dg.build_output_context(asset_key=dg.AssetKey(key)) for key in ("small", kind)}
    wanted = dg.PythonObjectDagsterType(type(frame(kind, 1)))

    def load(key: str) -> Any:
        return storage.load_input(
            dg.build_input_context(asset_key=dg.AssetKey(key), upstream_output=context[key], dagster_type=wanted)
        )

    storage.handle_output(context["small"], frame(kind, 1))
    load("small")
    value = frame(kind, megabytes) if action == "write" else None

    began = time.process_time()
    if action == "write":
        storage.handle_output(context[kind], value)
    else:
        load(kind)
    used = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(path.stat().st_size for path in Path(folder).iterdir() if path.stem == kind) / 1e6
    print(json.dumps([used, peak, size]))


def main() -> None:
    """Measure all, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=192)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="a Python that has what modules need")
    parser.add_argument("--module", action="append", default=[], help="a module's folder; several are compared")
    parser.add_argument("--frames", nargs="*", default=FRAMES)
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        name, kind, megabytes, folder, action = options.measure
        measure(name, kind, int(megabytes), folder, action)
        return
    with tempfile.TemporaryDirectory() as folder:
        managers = ["FilesystemIOManager", *(options.module or [_rendered(folder)])]
        print(
            "| frame | IO manager | write, s | read, s | both | memory write, MB | read, MB | file, MB |\n"
            + "|---" * 8
            + "|"
        )
        for kind in options.frames:
            for row in compared(options, managers, kind):
                print(row, flush=True)


def _rendered(folder: str) -> str:
    from cookiecutter.main import cookiecutter

    return str(cookiecutter(str(REPOSITORY / "cookiecutter-dagster-module"), no_input=True, output_dir=folder))


def compared(options: argparse.Namespace, managers: list[str], kind: str) -> list[str]:
    """Return a row for each IO manager: medians of runs in turns."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(options.runs):
        for name in managers:
            with tempfile.TemporaryDirectory() as folder:
                for action in ("write", "read"):
                    command = [
                        options.python,
                        __file__,
                        "--measure",
                        name,
                        kind,
                        str(options.megabytes),
                        folder,
                        action,
                    ]
                    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
                    found.setdefault((name, action), []).append(json.loads(done.stdout.splitlines()[-1]))
    return [_row(kind, name, *(found[name, action] for action in ("write", "read"))) for name in managers]


def _row(kind: str, name: str, writes: list[list[float]], reads: list[list[float]]) -> str:
    (write, memory, size), (read, read_memory, _) = (
        map(statistics.median, zip(*runs, strict=True)) for runs in (writes, reads)
    )
    seconds = f"{write:.2f} | {read:.2f} | {write + read:.2f}"
    return f"| {kind} | {Path(name).name} | {seconds} | {memory:.0f} | {read_memory:.0f} | {size:.0f} |"


if __name__ == "__main__":
    main()

"""Whole commands as a person waits for them: ``new`` beside Cookiecutter alone, ``--list``, ``workspace.add``.

    python benchmarks/commands.py [RUNS]

Each figure is the median of RUNS (default 7) wall times, in seconds; pairs are run in turn.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
PROGRAM = str(BIN / "dagster-module-builder")
TEMPLATE = str(REPOSITORY / "cookiecutter-dagster-module")


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def measure(runs: int, folder: Path) -> dict[str, list[float]]:
    root = folder / "workspace"
    environment = {**os.environ, "HOME": str(folder), "DAGSTER_WORKSPACE": str(root)}
    timed([PROGRAM, "workspace.init"], folder, environment)
    answers = ["database=postgresql", "workspace=no", "deployment=no"]
    figures: dict[str, list[float]] = {"cookiecutter alone": [], "new": [], "--list": [], "workspace.add": []}
    for run in range(runs):
        alone = [str(BIN / "cookiecutter"), TEMPLATE, "--no-input", f"name=alone-{run}", *answers]
        figures["cookiecutter alone"].append(timed(alone, folder, environment))
        figures["new"].append(timed([PROGRAM, "new", f"made-{run}", "--database", "postgresql"], folder, environment))
        figures["--list"].append(timed([PROGRAM, "--list"], folder, environment))
        figures["workspace.add"].append(
            timed([PROGRAM, "workspace.add", f"made-{run}", "--no-check"], folder, environment)
        )
    return figures


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    folder = Path(tempfile.mkdtemp())
    try:
        medians = {name: statistics.median(values) for name, values in measure(runs, folder).items()}
    finally:
        shutil.rmtree(folder)
    medians["new beyond cookiecutter"] = medians["new"] - medians["cookiecutter alone"]
    for name, seconds in medians.items():
        print(f"{name:<26} {seconds:7.3f} s")
    print(json.dumps(medians))


if __name__ == "__main__":
    main()

"""Previews of branches beside each other on one host: how long each takes, and the memory of all of them.

    python benchmarks/branch_previews.py [--count 10] [--json FILE]

A module with two assets and pandas, the template's storage, a real sshd and real Dagsters. In each preview one run
reads production's value. The memory is the proportional share (``Pss`` in proc(5)) of all processes in a preview's
folder, after its run has ended: pages that previews share count once for all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from tests.deploy.previewed import Previewed, previewed


def memory_of(folder: Path) -> float:
    """Return the memory of the processes in a folder, in MiB."""
    kilobytes = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == folder:
                found = re.search(r"(?m)^Pss:\s+(\d+)", (process / "smaps_rollup").read_text())
                kilobytes += int(found[1]) if found else 0
    return round(kilobytes / 1024, 1)


def measured(place: Previewed, count: int) -> dict[str, object]:
    """Make so many previews; return the seconds of each, and the memory of each at the end."""
    done = place.run("deploy", "yoda", "--allow-dirty", "--no-settle")
    assert done.returncode == 0, done
    place.production.await_run(place.production.launch("sales_report", "whole"), "SUCCESS")
    seconds, made = [], []
    for number in range(count):
        # 2 is what main has.
        place.branch(f"branch-{number}", number + 3)
        began = time.monotonic()
        made += place.preview(f"branch-{number}")
        seconds.append(round(time.monotonic() - began, 1))
        dagster = place.dagster_of(made[-1])
        dagster.await_run(dagster.launch("sales_report", "only_times"), "SUCCESS")
        print(f"preview {number + 1}: {seconds[-1]} s", flush=True)
    each = [memory_of(place.previews / preview["name"]) for preview in made]
    return {"seconds": seconds, "memory_mib": each, "memory_of_all_mib": round(sum(each), 1)}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, previewed(Path(folder)) as place:
        figures = measured(place, options.count)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()

"""The installed program, run in a site's workspace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import json_outputs

PROGRAM = Path(sys.executable).with_name("dagster-module-builder")


def run(root: Path, *arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(root), "COLUMNS": "200"}
    done = subprocess.run(
        [PROGRAM, *arguments],
        env=environ, cwd=folder or root, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    json_outputs.check(arguments, done.stdout)
    return done

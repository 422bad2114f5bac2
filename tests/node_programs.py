"""Programs for Node that tests use: each has a folder with the versions of all that it needs, below ``tests/e2e``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from filelock import FileLock

from tests import needs
from tests.e2e.engine import cache

PLACE = Path(__file__).parent / "e2e"


def installed(name: str, script: str) -> Path:
    """Return a script of a program that is installed once a machine.

    Args:
        name: Its folder in ``tests/e2e``.
        script: Its path below ``node_modules``.
    """
    needs.programs("node", "npm")
    folder = cache() / name
    lock = (PLACE / name / "package-lock.json").read_bytes()
    with FileLock(cache() / f".{name}.lock"):
        if not (folder / ".complete").exists() or (folder / ".complete").read_bytes() != lock:
            needs.registry("registry.npmjs.org")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(PLACE / name, folder)
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True)
            (folder / ".complete").write_bytes(lock)
        for path in (PLACE / name).glob(".*.json"):
            shutil.copy(path, folder)
    return folder / "node_modules" / script

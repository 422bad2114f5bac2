"""What CONTRIBUTING.md says of the code is what the code is."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dagster_module_builder"


def test_every_module_has_its_floor() -> None:
    """A module or folder of the package that no row of the table names has no floor, and may import anything."""
    rows = [line for line in (ROOT / "CONTRIBUTING.md").read_text("utf-8").splitlines() if line.startswith("| ")]
    named = set(re.findall(r"`([\w*]+)/?`", "\n".join(rows)))
    files = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert files
    without = [
        name
        for name in sorted(files)
        if not name.startswith("_") and not any(fnmatch.fnmatch(name, pattern) for pattern in named)
    ]
    assert without == [], "name these in the table of floors in CONTRIBUTING.md"

"""How long an audit and an upgrade take: one module, fifty at once, and what they cost in processor time.

    python benchmarks/audit_upgrade.py [MODULES]

Wall and processor seconds, children included; the bounds are 0.5 s an audit, 10 s fifty of them,
2 s an upgrade, 20 s fifty of them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from dagster_module_builder.audit.run import audit, audit_all
from dagster_module_builder.modules.module import RECORD
from dagster_module_builder.upgrade.every import upgrade_each
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.new import new

MODULES = 50
FILES = 600


def measured(what: str, act: Callable[[], object]) -> None:
    before, started = os.times(), time.perf_counter()
    act()
    wall, after = time.perf_counter() - started, os.times()
    print(f"{what:<24} {wall:6.2f} s   {sum(after[:4]) - sum(before[:4]):6.2f} s of processor")


def main() -> None:
    modules = int(sys.argv[1]) if sys.argv[1:] else MODULES
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "workspace"
        initialize(root, {})
        first = new(root, "module-1", {"database": "postgresql"}).path
        for number in range(2, modules + 1):
            shutil.copytree(first, first.with_name(f"module-{number}"))
        audit(root, first)
        measured("audit", lambda: audit(root, first))
        measured(f"audit of {modules}", lambda: audit_all(root))
        large = _large(root / "projects" / "large", FILES)
        measured(f"audit of {FILES} files", lambda: audit(root, large))
        shutil.rmtree(large)
        (first / "README.md").unlink()
        measured("upgrade", lambda: upgrade(root, "module-1"))
        names = [f"module-{number}" for number in range(1, modules + 1)]
        for name in names:
            _made_from(root / "projects" / name / RECORD, "0.9.0")
        each = partial(upgrade_each, root, names, partial(upgrade, root), lambda *_: None)
        measured(f"upgrade of {modules}", lambda: list(each()))


#: One file of a large project, of 4 KB.
LARGE = "import os\n\nimport dagster as dg\n\nfrom large import NAME\n" + "".join(
    f"""

@dg.asset(key_prefix="large", description="numbers of all rows")
def asset_{number}(context: dg.AssetExecutionContext) -> int:
    value, other = os.getenv("LARGE_SIZE", "5"), os.environ[NAME]
    context.log.info(f"{{value}} of {{other}}")
    rows = [{{"id": row, "name": "row" + str(row), "even": row % 2 == 0}} for row in range(100)]
    return sum(row["id"] for row in rows if row["even"])
"""
    for number in range(9)
)


def _large(module: Path, files: int) -> Path:
    """Make a project of many files."""
    (package := module / "large").mkdir(parents=True)
    (package / "__init__.py").write_text("NAME = 'LARGE_NAME'\n")
    (package / "definitions.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    for number in range(files):
        (package / f"assets_{number}.py").write_text(LARGE)
    return module


def _made_from(record: Path, version: str) -> None:
    record.write_text(json.dumps(json.loads(record.read_text("utf-8")) | {"template_version": version}), "utf-8")


if __name__ == "__main__":
    main()

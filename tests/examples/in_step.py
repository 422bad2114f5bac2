"""The examples, in a workspace: ``python -m tests.examples.in_step`` upgrades them to the current template.

Run it after a change of the module's template. It stops at conflicts: resolve them as the program says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/.dagster-module.json"))
PROGRAM = Path(sys.executable).with_name("dagster-module-builder")
#: What is not committed.
IGNORED = shutil.ignore_patterns("__pycache__", ".*_cache", ".venv", ".env")


def copy_of(name: str, root: Path) -> Path:
    """Copy an example into a workspace as README.md says: with the variables of ``.env.example``."""
    module = root / "projects" / name
    shutil.copytree(EXAMPLES / name, module, ignore=IGNORED)
    fragment = module / "workspace/local/.env"
    shutil.copy(module / ".env.example", fragment)
    fragment.chmod(0o600)
    return module


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a workspace."""
    environ = {**os.environ, "DAGSTER_WORKSPACE": str(root)}
    command = [str(PROGRAM), *arguments]
    return subprocess.run(command, env=environ, check=False, capture_output=True, encoding="utf-8", timeout=120)


def files(module: Path) -> set[Path]:
    """Return a module's files, by their paths in it."""
    return {path.relative_to(module) for path in module.rglob("*") if path.is_file()}


def take_over(module: Path, example: Path, before: set[Path]) -> None:
    """Make an example what its copy became; files that git ignores were never copied, and stay."""
    for path in before - files(module):
        (example / path).unlink(missing_ok=True)
    shutil.copytree(module, example, ignore=IGNORED, dirs_exist_ok=True)


def main() -> int:
    """Upgrade every example in a workspace for a while, and take its files over; return the exit status."""
    root = Path(tempfile.mkdtemp(prefix="examples-"))
    run(root, "workspace.init").check_returncode()
    for name in NAMES:
        module = copy_of(name, root)
        before = files(module)
        upgraded = run(root, "upgrade", name, "--no-load")
        sys.stdout.write(upgraded.stdout + upgraded.stderr)
        if upgraded.returncode:
            sys.stdout.write(f"Resolve this in {module}, and copy the result to {EXAMPLES / name}.\n")
            return upgraded.returncode
        take_over(module, EXAMPLES / name, before)
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())

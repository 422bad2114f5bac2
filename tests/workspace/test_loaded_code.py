"""When a module's code changed last, which decides whether a running Dagster has to load it again."""

from __future__ import annotations

import os
import shutil
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.health.loaded_code import changed_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write(module: Path) -> None:
    (module / "src/a/assets.py").write_text("changed = True\n")


def copy_with_its_old_date(module: Path) -> None:
    (other := module / "older.py").write_text("changed = True\n")
    os.utime(other, (1, 1))
    shutil.copy2(other, module / "src/a/assets.py")


def delete(module: Path) -> None:
    (module / "src/a/assets.py").unlink()


def require(module: Path) -> None:
    (module / "pyproject.toml").write_text("[project]\n")


def compile_it(module: Path) -> None:
    (module / "src/a/__pycache__/assets.pyc").write_bytes(b"")


@pytest.fixture
def module(tmp_path: Path) -> Path:
    (tmp_path / "src/a/__pycache__").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    (tmp_path / "src/a/assets.py").write_text("")
    for folder in (tmp_path / "src", tmp_path / "src/a"):
        os.utime(folder, (1, 1))
    return tmp_path


@pytest.mark.parametrize(
    ("edit", "counts"),
    [(write, True), (copy_with_its_old_date, True), (delete, True), (require, True), (compile_it, False)],
)
def test_a_change_of_code_is_seen(module: Path, edit: Callable[[Path], None], counts: bool) -> None:
    """FAULTS C10: whatever changes the code is seen, also where the new content bears an older date."""
    before = changed_at(module)
    probe = module / "probe"
    # The file system's clock ticks every few milliseconds.
    while datetime.fromtimestamp(probe.stat().st_mtime if probe.exists() else 0, timezone.utc) <= before:
        probe.write_text("")
    edit(module)
    assert (changed_at(module) > before) == counts

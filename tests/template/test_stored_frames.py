"""Frames come back equal from a module's storage, or are refused: with the locked packages and the oldest ones."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import needs
from tests.template import environment

if TYPE_CHECKING:
    from tests.template.rendering import Desk

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]


@pytest.mark.parametrize("kind", ["frames", "oldest"])
def test_frames_come_back_equal_or_are_refused(desk: Desk, tmp_path: Path, kind: str):
    needs.registry()
    rendering = desk.rendered()
    # Away from this repository's settings for pytest.
    script = tmp_path / "test_frames.py"
    script.write_bytes(Path(__file__).with_name("frames_kept.py").read_bytes())
    source = {"PYTHONPATH": str(rendering.module / "src"), "MODULE_PACKAGE": rendering.package.name}

    done = subprocess.run(
        [environment.made(kind).python, "-m", "pytest", "-q", "-p", "no:cacheprovider", script],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(desk.home), **source},
        capture_output=True,
        encoding="utf-8",
        timeout=1800,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr


def test_a_module_passes_its_own_tests_of_storage_with_the_oldest_packages(desk: Desk):
    needs.registry()
    rendering = desk.rendered()

    done = subprocess.run(
        [environment.made("oldest").python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_storage.py"],
        cwd=rendering.module,
        env={"PATH": os.environ["PATH"], "HOME": str(desk.home)},
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr

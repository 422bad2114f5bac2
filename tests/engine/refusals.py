"""What a refusal has to be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from tests.engine.folders import stamps


def refused(root: Path, command: Callable[[], object]) -> str:
    """Carry out a command that has to be refused without a byte or a time of any file changing; return what it says."""
    before = stamps(root)
    with pytest.raises(BuilderError) as caught:
        command()
    assert stamps(root) == before
    return str(caught.value)

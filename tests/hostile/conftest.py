"""Fixtures of other folders."""

from __future__ import annotations

from tests.cli.quick_program import quick_program
from tests.cli.terminal import made, terminal

__all__ = ["made", "quick_program", "terminal"]

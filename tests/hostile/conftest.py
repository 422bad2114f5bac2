"""Fixtures of other folders."""

from __future__ import annotations

from tests.cli.conftest import made, quick_program, terminal

__all__ = ["made", "quick_program", "terminal"]

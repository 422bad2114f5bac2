"""The engine's tests commit thousands of times: they do so in memory."""

from __future__ import annotations

from tests.in_memory import tmp_path

__all__ = ["tmp_path"]

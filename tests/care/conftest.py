"""A terminal, and workspaces in which it works."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal, copied, made, terminal

__all__ = ["made", "terminal"]


@pytest.fixture
def workspace(terminal: Terminal, made: Terminal) -> Terminal:
    return copied(made, terminal)

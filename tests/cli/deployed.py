"""A workspace in which every task has something to work on: an integrated module with a deployment."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.terminal import Terminal

DEPLOYMENT = ("--deployment=yoda", "--client=The client", "--hosts=127.0.0.1:1", "--user=deploy", "--strategy=rsync")


def furnish(terminal: Terminal) -> None:
    """Fill an empty workspace."""
    terminal.done("new", "sales", "--no-input", "--database=postgresql", "--workspace=yes")
    terminal.done("configure-deployment", "sales", "--no-input", *DEPLOYMENT)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], cwd=terminal.root, check=True)


def settings_in(root: Path) -> Path:
    return root / "projects/sales/deploy/yoda/.env.deploy"

"""Who deploys."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from pathlib import Path
from typing import Any

from dagster_module_builder.deploy.pipelines.pipeline_run import who_runs


def holder(action: str | None = None, command: str = "") -> dict[str, Any]:
    """Return who deploys, for the lock and the log.

    Args:
        action: The action's name in the log; None if it is not logged.
        command: The command; by default the one that started this process.
    """
    typed = command or " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    who = who_runs(os.environ) or f"{getpass.getuser()}@{socket.gethostname()}"
    return {"who": who, "command": typed, **({"action": action} if action else {})}

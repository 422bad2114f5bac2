"""The list of code locations that the container of ``module_servers`` gives to Dagster's webserver and daemon."""

from __future__ import annotations

import time
from pathlib import Path

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.compose.compose_program import captured
from dagster_module_builder.module_servers.listed import digest_of

#: Seconds within which changed code locations are served; those that take longer are served later.
_SERVED_WITHIN = 60.0
_PAUSE = 0.5


def await_served(root: Path, service: str, served: str) -> None:
    """Wait until the code servers have taken over the workspace file as it is now; go on at once where none run.

    Args:
        root: The workspace's root.
        service: The service that serves the code.
        served: The path of its list in its container.
    """
    wanted = digest_of(layout_of(root).workspace_file.read_bytes())
    end = time.monotonic() + _SERVED_WITHIN
    while time.monotonic() < end:
        try:
            heading = captured(root, "exec", "-T", service, "head", "-n", "1", served)
        except ToolError:
            return
        if wanted in heading:
            return
        time.sleep(_PAUSE)

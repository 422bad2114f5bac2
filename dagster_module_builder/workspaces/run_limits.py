"""Limits of runs in ``dagster.yaml``: what ends a run that hangs, and frees what one that was killed had taken.

Dagster sets none itself: a run whose process dies stays STARTED with the default launcher, and keeps its place in a
pool (https://docs.dagster.io/deployment/execution/run-monitoring). The template has them; a workspace that an earlier
version made gets them where its lines are as they were written.
"""

from __future__ import annotations

import re
from dataclasses import replace

from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.workspaces.workspace import Workspace

#: What the template wrote before, with nothing more below it, and what it writes.
_BEFORE = re.compile(rb"^run_monitoring:\n  enabled: true\n(?![ \t])", re.MULTILINE)
_NOW = b"""\
run_monitoring:
  enabled: true
  # Seconds after which a run is ended; the tag dagster/max_runtime of a job or a run says otherwise.
  max_runtime_seconds: 86400
  # Seconds after which a run that has ended, however it did, no longer holds places in pools.
  free_slots_after_run_end_seconds: 300
"""
#: How the template's file begins; a file that others wrote is theirs.
_TEMPLATES = b"# Dagster's instance in the containers."
#: The settings, by their names below ``run_monitoring``.
SETTINGS = ("max_runtime_seconds", "free_slots_after_run_end_seconds")


def with_run_limits(workspace: Workspace) -> tuple[Workspace, list[str]]:
    """Return a workspace whose ``dagster.yaml`` has the limits, and what to say of it."""
    text = workspace.files.get(dagster_yaml.NAME)
    if text is None or not text.startswith(_TEMPLATES) or len(_BEFORE.findall(text)) != 1:
        return workspace, []
    note = (
        f"{dagster_yaml.NAME}: a run ends after a day at most, and frees its places in pools. Restart Dagster to have "
        "it read this."
    )
    return replace(workspace, files={**workspace.files, dagster_yaml.NAME: _BEFORE.sub(_NOW, text)}), [note]


def lacking(workspace: Workspace) -> list[str]:
    """Return the limits that the workspace's ``dagster.yaml`` does not set; nothing where there is no such file."""
    data = workspace.instance_settings
    if data is None:
        return []
    monitoring = data.get("run_monitoring")
    stated = monitoring if isinstance(monitoring, dict) and monitoring.get("enabled") else {}
    return [name for name in SETTINGS if name not in stated]

"""Whether the containers of a host's Dagster, whoever made them, see releases and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster_module_builder.deploy.hosts import host_database, host_files
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.shared_files.formats import compose, env_file

#: Dagster reads the modules' settings from ``.env`` in the folder that its process was started in.
_LOOK = 'test -d "$0/modules" || exit 3; test /proc/1/cwd -ef "$1" || exit 4'


def problems_inside(run: HostRun) -> list[str]:
    """Return why the containers that load code would not find releases or their settings."""
    if (where := run.where) is None:
        return []
    files = run.files()
    paths = host_files.paths(run.target.first.dagster_folder, [path for path, text in files.items() if text])
    text, env = (files[paths[name]] or b"" for name in (compose.NAME, env_file.NAME))
    names = [where["service"], *(service.name for service in host_database.services_with_code(text, env))]
    return [*filter(None, (_problem(run, where, name) for name in dict.fromkeys(names)))]


def _problem(run: HostRun, where: Mapping[str, Any], service: str) -> str | None:
    base, folder = run.inside(), run.inside(run.target.first.dagster_folder)
    answer = run.conversation.ask("run", command=[*where["prefix"], service, "sh", "-c", _LOOK, base, folder])
    said = {
        3: f"{service} does not have {run.base} at {base}: mount it there, or set 'base_inside' in deployment.yaml.",
        4: f"{service} does not run in {folder}, where the modules' settings are: set 'working_dir: {folder}'.",
    }
    return f"{run.target}: {said.get(answer['code'], answer['said'].strip())}" if answer["code"] else None

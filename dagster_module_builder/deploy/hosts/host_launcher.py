"""Hosts whose Dagster starts each run in a container: whether it has a module's code and settings. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from dagster_module_builder.compose.service import Mount
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.shared_files.formats import dagster_yaml, env_file
from dagster_module_builder.shared_files.formats.yaml_text import ON_HOST, loaded


def reasons(location: HostLocation, folder: str, text: bytes, env: Mapping[str, str]) -> list[str]:
    """Return why runs of a module would fail there.

    Args:
        location: The module's code location.
        folder: The folder that Dagster is started in, below the base path.
        text: ``dagster.yaml``.
        env: The variables of the process that starts runs.
    """
    data = loaded(Path(dagster_yaml.NAME), text, ON_HOST)
    launcher = dagster_yaml.launcher(data, env)
    if launcher.kind != dagster_yaml.DOCKER:
        return []
    module, where = location.names.name, f"run_launcher.config of {dagster_yaml.NAME}"
    if location.server:
        return [f"{where} starts runs in containers, which lack the settings of {module}: its code server has them"]
    base = location.code.partition(f"/modules/{module}/")[0]
    home = str(PurePosixPath(base, folder))
    problems = []
    if not any(Mount(source, target).covers(location.code) for source, target, _ in launcher.volumes):
        problems.append(f"runs would not find {location.code}: mount the base path at {base} in {where}")
    lacking = sorted(set(env_file.values(location.env)) - set(launcher.env_vars))
    if lacking and launcher.working_dir != home:
        problems.append(
            f"runs would not have {', '.join(lacking)}: set 'working_dir: {home}' in container_kwargs of {where}"
        )
    return problems

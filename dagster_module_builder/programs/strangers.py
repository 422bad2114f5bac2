"""Containers and networks of other Compose projects that a workspace's project could mistake for its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.programs import engine


def strange_folders(root: Path, entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the containers that were started from another folder, with that folder."""
    own = layout_of(root).project_folder.resolve()
    projects = {str(entry["Project"]) for entry in entries}
    folders = {name: folder for project in projects for name, folder in engine.folders_of_containers(project).items()}
    return {name: folder for name, folder in folders.items() if Path(folder).resolve() != own}


def refuse_strangers(root: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to go on if containers of another folder have this project's name.

    Raises:
        RefusedError: There are such containers; Compose would mistake them for this workspace's.
    """
    strange = strange_folders(root, entries)
    if strange:
        folder = next(iter(strange.values()))
        raise RefusedError(
            f"Containers with this project's name belong to {folder}. Nothing was changed. Stop them there with "
            f"'workspace.down', or change COMPOSE_PROJECT_NAME in {layout_of(root).env_file}."
        )


def refuse_foreign_networks(root: Path, model: Mapping[str, Any]) -> None:
    """Refuse to join another project's network, in which one service name could mean two servers.

    Raises:
        RefusedError: A network that is not declared external was created for another project.
    """
    for network in (model.get("networks") or {}).values():
        owner = None if network.get("external") else engine.project_of_network(network["name"])
        if owner not in {None, model["name"]}:
            whose = f"the project {owner}" if owner else "no Compose project"
            other = f"{model['name']}-net"
            other = f"{other}-2" if network["name"] == other else other
            raise RefusedError(
                f"The network {network['name']} belongs to {whose}. Nothing was started. Set "
                f"WORKSPACE_NETWORK='{other}' in {layout_of(root).env_file}, and the same in dagster.yaml "
                "if it names the network."
            )

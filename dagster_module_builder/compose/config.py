"""The compose project as Compose itself understands it: checked, mounted folders, built images."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.compose.compose_program import captured
from dagster_module_builder.compose.compose_project import project_of
from dagster_module_builder.disclosure.messages import remember_texts
from dagster_module_builder.programs import engine, outside_programs
from dagster_module_builder.programs.compose_command import program
from dagster_module_builder.shown_files.files import hidden_texts


class NotAcceptedError(ToolError):
    """Compose does not accept a file."""


def check_config(root: Path, compose: bytes, env: bytes) -> dict[str, Any]:
    """Let Compose check a compose file that is not written yet, together with the project's other files.

    No daemon is needed.

    Args:
        root: The workspace's root.
        compose: The content of the file that takes modules.
        env: The content of its ``.env``; empty for the existing one.

    Returns:
        The whole project as Compose understands it.

    Raises:
        RefusedError: Compose would not read that file.
        NotAcceptedError: Compose does not accept it; the error quotes Compose.
        ToolError: Compose failed to check it.
    """
    project = project_of(root, env or None)
    with tempfile.TemporaryDirectory() as private:
        planned, variables = Path(private) / "docker-compose.yml", Path(private) / ".env"
        planned.write_bytes(compose)
        if env:
            # Only this user may read the folder (tempfile.mkdtemp) and the file.
            variables.touch(mode=0o600)
            variables.write_bytes(env)
        asked = outside_programs.ask(
            [*program(), *project.arguments(planned, variables if env else None), "config", "--format", "json"],
            named="docker compose config",
            answers=outside_programs.ANY,
            folder=project.folder,
            environ=project.environment,
        )
    if asked.status:
        remember_texts(hidden_texts(project.main.name, compose))
        message = _without_warnings(asked.words) or outside_programs.ended(asked.status)
        raise NotAcceptedError(message.replace(str(planned), str(project.main)))
    model: dict[str, Any] = json.loads(asked.out)
    return model


def _without_warnings(message: str) -> str:
    return "\n".join(line for line in message.strip().splitlines() if "level=warning" not in line)


def model(root: Path) -> dict[str, Any]:
    """Return the whole project as Compose understands it."""
    return as_model(captured(root, "config", "--format", "json"))


def as_model(text: str) -> dict[str, Any]:
    """Return a project from what ``docker compose config --format json`` printed."""
    data: dict[str, Any] = json.loads(text)
    return data


def bind_mounts(root: Path) -> dict[str, list[Path]]:
    """Return the folders of this machine that each service of the project mounts."""
    services = model(root).get("services", {})
    return {
        name: [Path(mount["source"]) for mount in service.get("volumes") or () if mount.get("type") == "bind"]
        for name, service in services.items()
    }


def built_images(root: Path) -> list[str]:
    """Return the names of the existing images that a workspace builds.

    Raises:
        ToolError: Docker does not answer.
    """
    services = model(root).get("services", {}).values()
    named = {str(service.get("image") or "") for service in services if "build" in service}
    return sorted(name for name in named if name and engine.has_image(name))

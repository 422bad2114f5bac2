"""Make what no template may hold: the database's password, who owns the workspace, and where on which machine it is.

The owner and the place are this process's, unless ``WORKSPACE_OWNER``, ``WORKSPACE_ROOT``, ``DOCKER_SOCKET`` and
``DOCKER_GROUP`` say otherwise: a workspace may be made for another folder or machine than it is rendered on.
"""

import json
import os
import secrets
from pathlib import Path

SERVICES = Path("services/dagster")
SOCKET = "/var/run/docker.sock"
LAUNCHER = "{{ cookiecutter.run_launcher }}"


def complete(env_file: Path, owner: str) -> None:
    """Close the env file to others, then add the password and the owner's ids to it."""
    uid, _, gid = owner.partition(":")
    env_file.chmod(0o600)
    with env_file.open("a", encoding="utf-8") as file:
        file.write(f"DAGSTER_POSTGRES_PASSWORD='{secrets.token_urlsafe(24)}'\n\n")
        file.write("# Containers run as the owner of this folder, since nobody else may read this file.\n")
        file.write(f"WORKSPACE_UID='{uid}'\n")
        file.write(f"WORKSPACE_GID='{gid}'\n")


def complete_launcher(dagster_yaml: Path, env_file: Path, owner: str) -> None:
    """Say where the containers of runs find the workspace, and how Dagster reaches the engine that starts them."""
    root = json.dumps(os.environ.get("WORKSPACE_ROOT") or str(Path.cwd()))
    text = dagster_yaml.read_text("utf-8").replace('"@ROOT@"', root).replace("@OWNER@", owner)
    dagster_yaml.write_text(text, "utf-8")
    socket = os.environ.get("DOCKER_SOCKET") or SOCKET
    group = os.environ.get("DOCKER_GROUP") or (Path(socket).stat().st_gid if Path(socket).exists() else 0)
    with env_file.open("a", encoding="utf-8") as file:
        file.write("\n# The engine that runs take place in, and the group that may speak to it.\n")
        file.write(f"DOCKER_SOCKET='{socket}'\nDOCKER_GROUP='{group}'\n")


if __name__ == "__main__":
    who = os.environ.get("WORKSPACE_OWNER") or f"{os.getuid()}:{os.getgid()}"
    complete(SERVICES / ".env", who)
    if LAUNCHER == "docker":
        complete_launcher(SERVICES / "dagster.yaml", SERVICES / ".env", who)

"""Write what differs for each workspace: the database's passwords, its owner, its path, and the engine's socket.

Owner and path are this process's unless ``WORKSPACE_OWNER``, ``WORKSPACE_ROOT``, ``DOCKER_SOCKET`` and
``DOCKER_GROUP`` are set, which a workspace for another folder or machine needs.
"""

import json
import os
import secrets
import shutil
from pathlib import Path

SERVICES = Path("services/dagster")
SOCKET = "/var/run/docker.sock"
LAUNCHER = "{{ cookiecutter.run_launcher }}"
ISOLATION = "{{ cookiecutter.isolation }}"
IS_CLOSED = LAUNCHER == "default" and ISOLATION == "modules"


def complete(env_file: Path, owner: str) -> None:
    """Set the env file's mode to 0600, then add the password and the owner's ids to it."""
    uid, _, gid = owner.partition(":")
    env_file.chmod(0o600)
    with env_file.open("a", encoding="utf-8") as file:
        file.write(f"DAGSTER_POSTGRES_PASSWORD='{secrets.token_urlsafe(24)}'\n")
        if IS_CLOSED:
            file.write(f"DAGSTER_POSTGRES_ROOT_PASSWORD='{secrets.token_urlsafe(24)}'\n")
        file.write("\n")
        file.write("# Containers run as the owner of this folder, because only the owner can read this file.\n")
        file.write(f"WORKSPACE_UID='{uid}'\n")
        file.write(f"WORKSPACE_GID='{gid}'\n")


def complete_launcher(dagster_yaml: Path, env_file: Path, owner: str) -> None:
    """Write the workspace's path for the containers of runs, and the socket that Dagster starts them with."""
    root = json.dumps(os.environ.get("WORKSPACE_ROOT") or str(Path.cwd()))
    text = dagster_yaml.read_text("utf-8").replace('"@ROOT@"', root).replace("@OWNER@", owner)
    dagster_yaml.write_text(text, "utf-8")
    socket = os.environ.get("DOCKER_SOCKET") or SOCKET
    group = os.environ.get("DOCKER_GROUP") or (Path(socket).stat().st_gid if Path(socket).exists() else 0)
    with env_file.open("a", encoding="utf-8") as file:
        file.write("\n# The Docker socket that starts the containers of runs, and the group that may use it.\n")
        file.write(f"DOCKER_SOCKET='{socket}'\nDOCKER_GROUP='{group}'\n")


def leave_out_what_the_closed_form_needs() -> None:
    """Remove the programs of the containers that keep modules apart."""
    shutil.rmtree(SERVICES / "module_servers")
    (SERVICES / "database.sh").unlink()


if __name__ == "__main__":
    owner_ids = os.environ.get("WORKSPACE_OWNER") or f"{os.getuid()}:{os.getgid()}"
    complete(SERVICES / ".env", owner_ids)
    if LAUNCHER == "docker":
        complete_launcher(SERVICES / "dagster.yaml", SERVICES / ".env", owner_ids)
    if not IS_CLOSED:
        leave_out_what_the_closed_form_needs()

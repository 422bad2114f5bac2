"""Make what no template may hold: the database's password, and who owns the workspace."""

import os
import secrets
from pathlib import Path

ENV_FILE = Path("services/dagster/.env")


def complete(env_file: Path) -> None:
    """Close the env file to others, then add the password and the owner's ids to it."""
    env_file.chmod(0o600)
    with env_file.open("a", encoding="utf-8") as file:
        file.write(f"DAGSTER_POSTGRES_PASSWORD='{secrets.token_urlsafe(24)}'\n\n")
        file.write("# Containers run as the owner of this folder, since nobody else may read this file.\n")
        file.write(f"WORKSPACE_UID='{os.getuid()}'\n")
        file.write(f"WORKSPACE_GID='{os.getgid()}'\n")


if __name__ == "__main__":
    complete(ENV_FILE)

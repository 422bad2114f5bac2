"""Workspaces and modules made of given bytes, in real folders."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.shared_files.sealing import KEY_SIZE

WORKSPACE = b"# Locations.\nload_from: []\n"
ENV = b"# Shared.\nDAGSTER_PORT='3000'\n"
COMPOSE = b"""\
services:
  web:
    build: &build
      context: ../..
      dockerfile: services/dagster/Dockerfile
    command: ["dagster-webserver", "-w", "workspace.yaml"]
    working_dir: /workspace/services/dagster
    env_file: .env
    volumes:
      - ../..:/workspace
      - storage:/tmp/dagster_storage
    environment:
      HOME: /home
    depends_on:
      store:
        condition: service_healthy
  daemon:
    build: *build
    command: ["dagster-daemon", "run"]
    working_dir: /workspace/services/dagster
    env_file: .env
    volumes:
      - ../..:/workspace
      - storage:/tmp/dagster_storage
  store:
    image: postgres:16

# What outlives a container.
volumes:
  storage:
"""
DOCKERFILE = b'FROM python:3.12-slim\nRUN pip install dagster\n# Not root.\nUSER 1000\nCMD ["dagster"]\n'

SHARED = {"workspace.yaml": WORKSPACE, ".env": ENV, "docker-compose.yml": COMPOSE, "Dockerfile": DOCKERFILE}
FIRST_PORT = 15440


def make_workspace(root: Path, **files: bytes | None) -> Path:
    """Make a workspace.

    Args:
        root: Its folder.
        files: ``workspace``, ``env``, ``compose``, ``dockerfile``, ``registry``: its bytes, or None for no file.
    """
    services = root / settings.SERVICES
    (services / "modules").mkdir(parents=True)
    (root / settings.PROJECTS).mkdir()
    # What the first command makes.
    (root / settings.KEY).write_bytes(b"k" * KEY_SIZE)
    (root / settings.KEY).chmod(0o600)
    (root / settings.KEY).with_name(".gitignore").write_bytes(b"*\n!.gitignore\n!.registry\n")
    given = dict(zip(("workspace", "env", "compose", "dockerfile"), SHARED, strict=True))
    wanted = {**SHARED, **{given[name]: text for name, text in files.items() if name in given}}
    for name, text in wanted.items():
        if text is not None:
            (services / name).write_bytes(text)
    if registry := files.get("registry"):
        (root / settings.REGISTRY).write_bytes(registry)
    return root


def fragments(name: str, port: int, *, secret: str = "s3cret") -> dict[str, bytes]:
    """Return the fragments of a module with a database, as the module template writes them."""
    snake = name.replace("-", "_")
    upper = snake.upper()
    return {
        "workspace.yaml": f"""\
load_from:
  - python_package:
      package_name: {snake}_dagster.definitions
      working_directory: ../../projects/{name}/src
      location_name: {snake}
""".encode(),
        ".env": f"{upper}_DB_PORT='{port}'\n{upper}_DB_PASSWORD='{secret}'\n".encode(),
        "docker-compose.yml": f"""\
services:
  {snake}_db:
    image: "postgres:16"
    environment:
      POSTGRES_PASSWORD: "${{{upper}_DB_PASSWORD}}"
    ports:
      - "127.0.0.1:${{{upper}_DB_PORT}}:5432"
    volumes:
      - {snake}_db_data:/var/lib/postgresql/data
volumes:
  {snake}_db_data:
x-dagster-code:
  depends_on:
    {snake}_db:
      condition: service_healthy
  environment:
    {upper}_DB_HOST: {snake}_db
""".encode(),
        "dockerfile.snippet": f"COPY projects/{name}/pyproject.toml /opt/{name}.toml\n".encode(),
    }


def make_module(root: Path, name: str, port: int = FIRST_PORT, **replaced: bytes | None) -> Path:
    """Make a module; ``workspace``, ``env``, ``compose`` and ``dockerfile`` replace a fragment, None leaves it out."""
    folder = root / settings.PROJECTS / name
    local = folder / settings.FRAGMENTS
    local.mkdir(parents=True, exist_ok=True)
    texts = fragments(name, port)
    given = dict(zip(("workspace", "env", "compose", "dockerfile"), texts, strict=True))
    for file, text in {**texts, **{given[key]: text for key, text in replaced.items()}}.items():
        if text is not None:
            (local / file).write_bytes(text)
    return folder


def services(root: Path) -> Path:
    return root / settings.SERVICES


def shared(root: Path) -> dict[str, bytes]:
    """Return the bytes of the shared files that are there."""
    return {name: path.read_bytes() for name in SHARED if (path := services(root) / name).is_file()}


def registry(root: Path) -> dict[str, object]:
    """Return the registry without the times in it; empty where no module was ever integrated."""
    path = root / settings.REGISTRY
    data = json.loads(path.read_bytes()) if path.exists() else {"integrated_modules": []}
    for entry in data["integrated_modules"]:
        entry.pop("integrated_at", None)
    return data


def state(root: Path) -> tuple[dict[str, bytes], dict[str, object]]:
    """Return what a command changes: all of it has to be old, or all of it new."""
    return shared(root), registry(root)


def stamps(root: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of every file but the lock's: equal stamps mean that nothing was written."""
    found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
    files = (path for path in found if not path.name.startswith(".lock"))
    return {str(path.relative_to(root)): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in files}

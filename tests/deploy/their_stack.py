"""A Dagster in containers as another owner runs it: names, indentation, images and paths that are not ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.deploy.compose_host import ComposeHost
from tests.e2e.dagster_web import await_that

COMPOSE = """\
# The analysts' own stack.
name: {project}

services:
    store:
        image: {postgres}
        environment:
            POSTGRES_USER: keeper
            POSTGRES_PASSWORD: kept
            POSTGRES_DB: runs
        healthcheck:
            test: ["CMD", "pg_isready", "--quiet", "--host", "127.0.0.1", "--username", "keeper", "--dbname", "runs"]
            interval: 1s
            retries: 60

    page:  # http://localhost:{port}
        build: .
        image: {project}-analytics
        command: ["dagster-webserver", "-h", "0.0.0.0", "-p", "3070", "-w", "/srv/all/stack/workspace.yaml"]
        working_dir: /srv/all/stack
        ports:
            - "127.0.0.1:{port}:3070"
        volumes:
            - ..:/srv/all
            - outputs:/tmp/dagster_storage
        depends_on:
            - store

    scheduler:
        image: {project}-analytics
        command: dagster-daemon run -w /srv/all/stack/workspace.yaml
        volumes:
            - ..:/srv/all
            - outputs:/tmp/dagster_storage
        depends_on:
            - store

volumes:
    outputs:
"""
DOCKERFILE = """\
FROM {image}
USER root
ENV DAGSTER_HOME=/srv/all/stack/home
"""
WORKSPACE = """\
load_from:
    - python_file:
          relative_path: /srv/all/stack/code/theirs.py
          location_name: theirs
"""
INSTANCE = """\
storage:
    postgres:
        postgres_url: postgresql+psycopg2://keeper:kept@store/runs
telemetry:
    enabled: false
"""
#: One step waits until it is told to go on, and another follows.
CODE = """\
import time
from pathlib import Path

import dagster as dg

HERE = Path("/srv/all/stack/home")


@dg.asset
def slow() -> None:
    (HERE / "begun").touch()
    while not (HERE / "go").exists():
        time.sleep(0.2)


@dg.asset(deps=[slow])
def then() -> None:
    pass


defs = dg.Definitions(assets=[slow, then], executor=dg.in_process_executor)
"""


def write(folder: Path, project: str, port: int, image: str, postgres: str) -> None:
    """Write their files."""
    (folder / "home").mkdir(parents=True)
    (folder / "code").mkdir()
    (folder / "compose.yaml").write_text(COMPOSE.format(project=project, port=port, postgres=postgres))
    (folder / "Dockerfile").write_text(DOCKERFILE.format(image=image))
    (folder / "workspace.yaml").write_text(WORKSPACE)
    (folder / "home/dagster.yaml").write_text(INSTANCE)
    (folder / "code/theirs.py").write_text(CODE)


def start(there: ComposeHost) -> str:
    """Start their stack and a run in it; return the run's id, when its first step is in progress."""
    there.compose("build", "--quiet", "page")
    there.compose("up", "--detach", "--wait", "store")
    # One after the other: two first looks at a fresh store at once would collide.
    there.compose("up", "--detach", "page")
    await_that(there.dagster.answers, 180, "their page")
    there.compose("up", "--detach", "scheduler")
    run = there.dagster.launch("theirs")
    await_that((there.folder / "home/begun").exists, 180, "their run has begun")
    return run


def stop(there: ComposeHost) -> None:
    """Take their stack away, with what root wrote in it."""
    if there.folder.is_dir():
        there.compose("down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "1")
        subprocess.run(["chmod", "-R", "u+w", there.folder.parent], check=True)

"""Stacks as other people build them, each with its own Dagster: the structure is theirs, the words are ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: What the stack has before a module comes, and what has to work before, during and after.
OWN_CODE = """\
import dagster as dg


@dg.asset
def ledger() -> int:
    return 3


defs = dg.Definitions(assets=[ledger])
"""

#: A module with the requirements of old times, as small as it can be.
OLD_MODULE = {
    "pyproject.toml": '[project]\nname = "old"\nversion = "1"\ndependencies = ["dagster>=1.3"]\n',
    "src/old_dagster/__init__.py": "",
    "src/old_dagster/definitions.py": OWN_CODE.replace("ledger", "stones"),
    "workspace/local/workspace.yaml": (
        "load_from:\n  - python_package:\n      package_name: old_dagster.definitions\n"
        "      working_directory: ../../projects/old/src\n      location_name: old\n"
    ),
    "workspace/local/dockerfile.snippet": (
        "COPY projects/old/pyproject.toml /opt/dagster/modules/old/pyproject.toml\n"
        "RUN uv pip install --system --constraint /opt/dagster/constraints.txt "
        "$(printf -- '-r %s ' /opt/dagster/modules/*/pyproject.toml)\n"
        'ENV PYTHONPATH="/workspace/projects/old/src:${PYTHONPATH}"\n'
    ),
}

_STORE = """\
  store:
    image: ${POSTGRES_IMAGE}
    environment: {POSTGRES_USER: keeper, POSTGRES_PASSWORD: kept, POSTGRES_DB: runs}
    networks: [line]
    healthcheck:
      test: [CMD-SHELL, pg_isready -q -h 127.0.0.1 -U keeper]
      interval: 2s
      retries: 30
"""
_STORAGE = """\
storage:
  postgres:
    postgres_db:
      hostname: store
      username: {env: STORE_USER}
      password: {env: STORE_PASSWORD}
      db_name: runs
      scheme: postgresql+psycopg2
telemetry: {enabled: false}
"""
_VARIABLES = "environment: {STORE_USER: keeper, STORE_PASSWORD: kept}"


@dataclass(frozen=True)
class ForeignStack:
    """A repository that runs Dagster.

    Attributes:
        files: Its files.
        compose_folder: The folder of its Compose file.
        location: Its own code location, with one asset.
        module: The module that is added: made by the template, or files.
        adopting: Flags of ``workspace.adopt``.
        built_before: Images that are there before: each name with its Dockerfile.
    """

    files: Mapping[str, str]
    compose_folder: str = "."
    location: str = "ledger"
    module: Mapping[str, str] | None = None
    adopting: Sequence[str] = ()
    built_before: Mapping[str, str] = field(default_factory=dict)

    def lay_out(self, root: Path, values: Mapping[str, str]) -> None:
        """Write the repository, with ``@NAME@`` replaced by a value."""
        for name, text in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            for key, value in values.items():
                text = text.replace(f"@{key}@", value)  # noqa: PLW2901
            path.write_text(text)


def _official() -> ForeignStack:
    """One server for the code, a container for each run."""
    python = "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nENV PIP_BREAK_SYSTEM_PACKAGES=1\n"
    host = "    build: {context: ., dockerfile: Dockerfile_host, args: {PYTHON_IMAGE: '${PYTHON_IMAGE}'}}\n"
    socket = "    volumes: ['@SOCKET@:/var/run/docker.sock']\n"
    compose = f"""\
services:
{_STORE}
  code:
    build: {{context: ., dockerfile: Dockerfile_code, args: {{PYTHON_IMAGE: '${{PYTHON_IMAGE}}'}}}}
    image: @PROJECT@_code_image
    environment: {{STORE_USER: keeper, STORE_PASSWORD: kept, DAGSTER_CURRENT_IMAGE: @PROJECT@_code_image}}
    networks: [line]
  page:
{host}    entrypoint: [dagster-webserver, -h, 0.0.0.0, -p, "3000", -w, workspace.yaml]
    ports: ["127.0.0.1:@PORT@:3000"]
    {_VARIABLES}
{socket}    networks: [line]
    depends_on: {{store: {{condition: service_healthy}}, code: {{condition: service_started}}}}
  daemon:
{host}    entrypoint: [dagster-daemon, run]
    {_VARIABLES}
{socket}    networks: [line]
    depends_on: {{store: {{condition: service_healthy}}, code: {{condition: service_started}}}}
networks:
  line: {{name: @PROJECT@_line}}
"""
    launcher = f"""\
{_STORAGE}run_launcher:
  module: dagster_docker
  class: DockerRunLauncher
  config:
    env_vars: [STORE_USER, STORE_PASSWORD]
    network: @PROJECT@_line
    container_kwargs: {{auto_remove: true}}
run_coordinator: {{module: dagster.core.run_coordinator, class: QueuedRunCoordinator}}
"""
    return ForeignStack(
        {
            "docker-compose.yml": compose,
            "dagster.yaml": launcher,
            "workspace.yaml": "load_from:\n  - grpc_server: {host: code, port: 4000, location_name: ledger}\n",
            "books.py": OWN_CODE,
            "Dockerfile_code": f"{python}RUN pip install -q dagster==1.13.14 dagster-postgres dagster-docker\n"
            'WORKDIR /srv\nCOPY books.py /srv\nCMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", '
            '"-f", "books.py"]\n',
            "Dockerfile_host": f"{python}RUN pip install -q dagster==1.13.14 dagster-webserver dagster-postgres "
            "dagster-docker\nENV DAGSTER_HOME=/opt/home/\nRUN mkdir -p $DAGSTER_HOME\n"
            "COPY dagster.yaml workspace.yaml $DAGSTER_HOME\nWORKDIR $DAGSTER_HOME\n",
        }
    )


def _two_dockerfiles() -> ForeignStack:
    """The webserver and the daemon are built from a Dockerfile each; the Compose file is below ``deploy``."""
    image = (
        "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nENV PIP_BREAK_SYSTEM_PACKAGES=1 DAGSTER_HOME=/opt/home\n"
        "RUN pip install -q %s && mkdir -p /opt/home\nCOPY code /srv/code\nWORKDIR /srv/config\nCMD %s\n"
    )
    service = (
        "    build: {context: .., dockerfile: deploy/%s.Dockerfile, args: {PYTHON_IMAGE: '${PYTHON_IMAGE}'}}\n"
        "    volumes: ['./config:/srv/config', 'history:/opt/home']\n"
    )
    compose = f"""\
services:
  page:
{service % "page"}    ports: ["127.0.0.1:@PORT@:3000"]
  daemon:
{service % "daemon"}    depends_on: [page]
volumes:
  history: {{}}
"""
    entry = (
        "load_from:\n  - python_file:\n      relative_path: /srv/code/books.py\n      location_name: ledger\n"
        "      working_directory: /srv/code\n"
    )
    page = '["dagster-webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "workspace.yaml"]'
    daemon = '["dagster-daemon", "run", "-w", "workspace.yaml"]'
    return ForeignStack(
        {
            "deploy/docker-compose.yaml": compose,
            "deploy/config/workspace.yaml": entry,
            "deploy/page.Dockerfile": image % ("dagster==1.13.14 dagster-webserver==1.13.14", page),
            "deploy/daemon.Dockerfile": image % ("dagster==1.13.14", daemon),
            "code/books.py": OWN_CODE,
        },
        compose_folder="deploy",
    )


def _prebuilt() -> ForeignStack:
    """Both services run an image that comes from elsewhere."""
    compose = f"""\
services:
{_STORE}
  page:
    image: @PROJECT@/platform:7
    command: dagster-webserver -h 0.0.0.0 -p 3000 -w /etc/platform/workspace.yaml
    ports: ["127.0.0.1:@PORT@:3000"]
    {_VARIABLES}
    volumes: ['./etc:/etc/platform']
    networks: [line]
    depends_on: {{store: {{condition: service_healthy}}}}
  daemon:
    image: @PROJECT@/platform:7
    command: dagster-daemon run -w /etc/platform/workspace.yaml
    {_VARIABLES}
    volumes: ['./etc:/etc/platform']
    networks: [line]
    depends_on: {{store: {{condition: service_healthy}}, page: {{condition: service_started}}}}
networks:
  line: {{}}
"""
    image = (
        "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nENV PIP_BREAK_SYSTEM_PACKAGES=1 DAGSTER_HOME=/etc/platform\n"
        "RUN pip install -q dagster==1.13.14 dagster-webserver dagster-postgres\nWORKDIR /srv\n"
    )
    entry = "load_from:\n  - python_file: {relative_path: books.py, location_name: ledger}\n"
    return ForeignStack(
        {
            "compose.yaml": compose,
            "etc/dagster.yaml": _STORAGE,
            "etc/workspace.yaml": entry,
            "etc/books.py": OWN_CODE,
        },
        built_before={"@PROJECT@/platform:7": image},
    )


def _of_old_times() -> ForeignStack:
    """Dagit and Dagster 1.3; the module goes into its image, which keeps them."""
    compose = """\
version: "3.7"
services:
  dagit:
    build: {context: ., args: {PYTHON_IMAGE: '${PYTHON_IMAGE}'}}
    entrypoint: dagit -h 0.0.0.0 -p 3000 -w workspace.yaml
    ports: ["127.0.0.1:@PORT@:3000"]
    volumes: ['./:/srv/app', 'history:/opt/home']
  daemon:
    build: {context: ., args: {PYTHON_IMAGE: '${PYTHON_IMAGE}'}}
    entrypoint: dagster-daemon run -w workspace.yaml
    volumes: ['./:/srv/app', 'history:/opt/home']
    depends_on: [dagit]
volumes:
  history: {}
"""
    image = (
        "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nENV PIP_BREAK_SYSTEM_PACKAGES=1 DAGSTER_HOME=/opt/home\n"
        "RUN pip install -q dagster==1.3.14 dagit==1.3.14 'pendulum<3' 'pydantic<2' && mkdir -p /opt/home\n"
        "WORKDIR /srv/app\n"
    )
    entry = "load_from:\n  - python_file: {relative_path: books.py, location_name: ledger}\n"
    return ForeignStack(
        {"docker-compose.yml": compose, "workspace.yaml": entry, "books.py": OWN_CODE, "Dockerfile": image},
        module=OLD_MODULE,
    )


def _code_in_commands() -> ForeignStack:
    """The services name the code on their command lines, so that adoption has to write a workspace file."""
    service = (
        "    build: {context: ., args: {PYTHON_IMAGE: '${PYTHON_IMAGE}'}}\n"
        "    volumes: ['./src:/srv/src', 'history:/opt/home']\n"
    )
    compose = f"""\
services:
  page:
{service}    command: dagster-webserver -h 0.0.0.0 -p 3000 -m books
    ports: ["127.0.0.1:@PORT@:3000"]
  daemon:
{service}    command: ["dagster-daemon", "run", "-m", "books"]
    depends_on: [page]
volumes:
  history: {{}}
"""
    image = (
        "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nENV PIP_BREAK_SYSTEM_PACKAGES=1 DAGSTER_HOME=/opt/home\n"
        "RUN pip install -q dagster==1.13.14 dagster-webserver==1.13.14 && mkdir -p /opt/home\nWORKDIR /srv/src\n"
    )
    files = {"docker-compose.yml": compose, "Dockerfile": image, "src/books.py": OWN_CODE}
    return ForeignStack(files, location="books", adopting=("--write-workspace-file",))


STACKS: dict[str, Callable[[], ForeignStack]] = {
    "official": _official,
    "two Dockerfiles": _two_dockerfiles,
    "prebuilt": _prebuilt,
    "of old times": _of_old_times,
    "code in commands": _code_in_commands,
}

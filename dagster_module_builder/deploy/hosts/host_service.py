"""The Dagster that ``deploy.setup --start`` makes on a native host: its environment and its settings. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dagster_module_builder.base.errors import RefusedError

#: The variable on this machine with the password for Dagster's PostgreSQL, and the variable that Dagster gets.
GIVEN, PASSWORD = "DEPLOY_POSTGRES_PASSWORD", "DAGSTER_POSTGRES_PASSWORD"
#: The oldest Python that Dagster 1.13 runs in (https://pypi.org/project/dagster/).
OLDEST = (3, 10)

_HEADER = "# The Dagster of this host, made by deploy.setup, which leaves the file alone once you have edited it.\n"
_SETTINGS = {
    # A run that hangs ends after a day, unless it has a tag dagster/max_runtime; one that was killed frees its pools.
    "run_monitoring": {"enabled": True, "max_runtime_seconds": 86400, "free_slots_after_run_end_seconds": 300},
    "concurrency": {"runs": {"max_concurrent_runs": 4}, "pools": {"default_limit": 1}},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
}


@dataclass(frozen=True)
class ServiceEnvironment:
    """The environment of a host's Dagster.

    Attributes:
        requirements: The requirements file of its environment.
        constraints: The constraints file.
        identity: The environment's name: a hash of these and of the interpreter.
    """

    requirements: str
    constraints: str
    identity: str


def environment(lock: str, interpreter: str, *, has_postgresql: bool) -> ServiceEnvironment:
    """Return the environment, with the workspace's locked versions.

    Args:
        lock: The workspace's constraints, with hashes if it has them.
        interpreter: The interpreter to make it with.
        has_postgresql: Whether Dagster keeps its runs in PostgreSQL.
    """
    packages = ["dagster", "dagster-webserver", *(["dagster-postgres"] if has_postgresql else [])]
    requirements = "".join(f"{name}\n" for name in packages)
    parts = f"{requirements}\0{lock}\0{interpreter}"
    return ServiceEnvironment(requirements, lock, hashlib.sha256(parts.encode()).hexdigest()[:16])


def versions(lock: str) -> list[str]:
    """Return the locked versions of Dagster: ``["dagster==1.13.9", "dagster-webserver==1.13.9"]``."""
    return re.findall(r"^(?:dagster|dagster-webserver)==[^\s;\\]+", lock, re.MULTILINE)


def refuse_old(target: object, interpreter: str) -> None:
    """Refuse an interpreter that is too old for Dagster.

    Args:
        target: The host.
        interpreter: Its file and its version: ``/usr/bin/python3.11 3.11``.

    Raises:
        RefusedError: It is too old.
    """
    path, _, version = interpreter.rpartition(" ")
    if tuple(map(int, version.split("."))) < OLDEST:
        raise RefusedError(
            f"{target}: Dagster needs Python {OLDEST[0]}.{OLDEST[1]} or newer, but {path} is Python {version}. Install "
            f"a newer one on the host, and set 'python:' below 'environment:' in deployment.yaml to it."
        )


def port_of(target: object, url: str) -> int:
    """Return the port for the webserver, which listens on the host itself only.

    Raises:
        RefusedError: The address is not the host's own, or is not plain HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost"} or parts.path.strip("/"):
        raise RefusedError(
            f"{target}: Dagster cannot be started at {url}. Set 'url:' below 'dagster:' in deployment.yaml to "
            f"http://127.0.0.1:PORT; use 'ssh -L' to reach it from elsewhere."
        )
    return parts.port or 80


def small_instance() -> str:
    """Return ``dagster.yaml`` of a preview: it has no daemon, so that its webserver starts runs itself."""
    at_once = {"module": "dagster.core.run_coordinator", "class": "DefaultRunCoordinator"}
    return _HEADER + _as_yaml({"run_coordinator": at_once, **{name: _SETTINGS[name] for name in ("telemetry", "nux")}})


def instance(postgresql: str | None) -> str:
    """Return ``dagster.yaml``.

    It names the variable with the password only: Dagster passes the whole file to its processes as an argument.

    Args:
        postgresql: The server, as ``postgresql://user@host:port/database``; without one, Dagster keeps its runs in
            SQLite files beside ``dagster.yaml``.
    """
    if postgresql is None:
        return _HEADER + _as_yaml(_SETTINGS)
    parts = urlsplit(postgresql)
    server = {
        "hostname": parts.hostname,
        "port": parts.port or 5432,
        "username": parts.username,
        "password": {"env": PASSWORD},
        "db_name": parts.path.strip("/"),
        # SQLAlchemy 2.1 takes a bare "postgresql" for psycopg 3; dagster-postgres brings psycopg2.
        "scheme": "postgresql+psycopg2",
    }
    return _HEADER + _as_yaml({"storage": {"postgres": {"postgres_db": server}}, **_SETTINGS})


def _as_yaml(data: object) -> str:
    # Loaded only when a host is set up.
    import yaml

    return str(yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False))

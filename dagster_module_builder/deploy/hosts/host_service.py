"""The Dagster that ``deploy.setup --start`` makes on a native host: what it consists of. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dagster_module_builder.base.errors import RefusedError

#: The variable of this machine with the password to Dagster's PostgreSQL, and the one that Dagster gets it in.
GIVEN, PASSWORD = "DEPLOY_POSTGRES_PASSWORD", "DAGSTER_POSTGRES_PASSWORD"
#: The oldest Python that Dagster 1.13 runs in (https://pypi.org/project/dagster/).
OLDEST = (3, 10)

_HEADER = "# The Dagster of this host, made by deploy.setup, which leaves the file alone once you have edited it.\n"
_SETTINGS = {
    "run_monitoring": {"enabled": True},
    "concurrency": {"runs": {"max_concurrent_runs": 4}, "pools": {"default_limit": 1}},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
}


@dataclass(frozen=True)
class ServiceEnvironment:
    """What a host's Dagster is made of.

    Attributes:
        requirements: The requirements file of its environment.
        constraints: The constraints file.
        identity: The environment's name: the hash of these and of the interpreter.
    """

    requirements: str
    constraints: str
    identity: str


def environment(lock: str, interpreter: str, *, has_postgresql: bool) -> ServiceEnvironment:
    """Return the environment, locked as the workspace's.

    Args:
        lock: The workspace's constraints, with hashes where it has them.
        interpreter: What it is made with.
        has_postgresql: Whether Dagster keeps its runs in PostgreSQL.
    """
    packages = ["dagster", "dagster-webserver", *(["dagster-postgres"] if has_postgresql else [])]
    requirements = "".join(f"{name}\n" for name in packages)
    parts = f"{requirements}\0{lock}\0{interpreter}"
    return ServiceEnvironment(requirements, lock, hashlib.sha256(parts.encode()).hexdigest()[:16])


def versions(lock: str) -> list[str]:
    """Return the locked versions of Dagster, for people: ``dagster==1.13.9``."""
    return re.findall(r"^(?:dagster|dagster-webserver)==[^\s;\\]+", lock, re.MULTILINE)


def refuse_old(target: object, interpreter: str) -> None:
    """Refuse an interpreter that Dagster does not run in.

    Args:
        target: The host.
        interpreter: Its file and its version: ``/usr/bin/python3.11 3.11``.

    Raises:
        RefusedError: It is too old.
    """
    path, _, version = interpreter.rpartition(" ")
    if tuple(map(int, version.split("."))) < OLDEST:
        raise RefusedError(
            f"{target}: Dagster needs Python {OLDEST[0]}.{OLDEST[1]} or newer, and {path} is Python {version}. Install "
            f"one there, and name it by 'python:' below 'environment:' in deployment.yaml."
        )


def port_of(target: object, url: str) -> int:
    """Return the port that the webserver is to listen at, on the host itself only.

    Raises:
        RefusedError: The address is not the host's own, or is not plain HTTP.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost"} or parts.path.strip("/"):
        raise RefusedError(
            f"{target}: {url} is not an address that Dagster could be started at. Set 'url:' below 'dagster:' in "
            f"deployment.yaml to http://127.0.0.1:PORT; ssh -L makes it reachable from elsewhere."
        )
    return parts.port or 80


def instance(postgresql: str | None) -> str:
    """Return ``dagster.yaml``; without a server, Dagster keeps its runs in SQLite files in the folder that it is in.

    The password is named only: Dagster gives the whole file to its processes in their arguments.

    Args:
        postgresql: The server, as ``postgresql://user@host:port/database``.
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
    # Only when a host is set up is it waited for.
    import yaml

    return str(yaml.safe_dump(json.loads(json.dumps(data)), sort_keys=False))

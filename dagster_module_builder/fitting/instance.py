"""What Dagster's instance (``dagster.yaml``) asks of every container that runs code.

The format is Dagster's (https://docs.dagster.io/deployment/oss/dagster-yaml).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: What is stored in files, by its key in ``dagster.yaml``, with its folder below ``DAGSTER_HOME`` if it names none.
_IN_FILES = {"local_artifact_storage": "storage", "compute_logs": "storage"}
_LOCAL = ("LocalArtifactStorage", "LocalComputeLogManager")
_STORAGES = ("storage", "run_storage", "event_log_storage", "schedule_storage")
#: Variables that the libraries of object stores read by themselves.
_IMPLIED = {
    "dagster_aws": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
    "dagster_gcp": ("GOOGLE_APPLICATION_CREDENTIALS",),
    "dagster_azure": ("AZURE_STORAGE_CONNECTION_STRING",),
}


@dataclass(frozen=True)
class Instance:
    """Dagster's instance.

    Attributes:
        data: The values of ``dagster.yaml``; None if there is none.
    """

    data: Any

    @cached_property
    def variables(self) -> list[str]:
        """The variables that it reads."""
        implied = [name for library in self._libraries for name in _IMPLIED.get(library, ())]
        return list(dict.fromkeys([*_named(self.data), *implied]))

    @cached_property
    def _libraries(self) -> list[str]:
        """The packages of Dagster's libraries that it names, as Python imports them."""
        data = self.data if isinstance(self.data, dict) else {}
        storage = data.get("storage")
        short = [f"dagster_{kind}" for kind in ("postgres", "mysql") if isinstance(storage, dict) and kind in storage]
        named = [module.split(".")[0] for module in _modules(data)]
        return list(dict.fromkeys(name for name in (*short, *named) if name.startswith("dagster_")))

    @property
    def packages(self) -> list[str]:
        """The packages that it needs: ``["dagster-postgres"]``."""
        return [library.replace("_", "-") for library in self._libraries]

    @property
    def keeps_events_in_files(self) -> bool:
        """Whether runs are recorded in SQLite files, not in a database server."""
        data = self.data if isinstance(self.data, dict) else {}
        stated = [data[key] for key in _STORAGES if data.get(key)]
        return not stated or any("sqlite" in str(each).lower() for each in stated)

    def folders(self, home: str) -> list[str]:
        """Return the folders that runs write to in a container with this ``DAGSTER_HOME``."""
        data = self.data if isinstance(self.data, dict) else {}
        folders = [_folder(data.get(key), posixpath.join(home, name)) for key, name in _IN_FILES.items()]
        return list(dict.fromkeys([*filter(None, folders), *([home] if self.keeps_events_in_files else [])]))


def _folder(entry: Any, default: str) -> str | None:
    """Return the folder of a part of the instance; None if it is not in local files."""
    if not isinstance(entry, dict):
        return default
    config = entry.get("config")
    if entry.get("class") not in _LOCAL:
        return None
    named = config.get("base_dir") if isinstance(config, dict) else None
    return named if isinstance(named, str) else default


def _named(data: Any) -> Iterator[str]:
    """Yield the names in ``env: NAME``."""
    if isinstance(data, dict):
        if set(data) == {"env"} and isinstance(data["env"], str):
            yield data["env"]
        for value in data.values():
            yield from _named(value)
    elif isinstance(data, list):
        for item in data:
            yield from _named(item)


def _modules(data: Any) -> Iterator[str]:
    """Yield the values of ``module``, by which a part of the instance names its class."""
    if isinstance(data, dict):
        if isinstance(data.get("module"), str):
            yield data["module"]
        for value in data.values():
            yield from _modules(value)

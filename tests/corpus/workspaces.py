"""A workspace of the corpus on disk, and what Compose makes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.transactions.control_files import ControlFiles

CASES = Path(__file__).parent / "cases"

#: A file of a case whose name begins with this lies in the workspace's root, the others beside the compose file.
AT_ROOT = "root"
DESCRIPTION = "case.yaml"
STORAGE = "DAGSTER_STORAGE_DIR"


@dataclass(frozen=True)
class Case:
    """A workspace of the corpus: its folder, and what has to come of it."""

    path: Path

    @property
    def description(self) -> dict[str, Any]:
        return yaml.safe_load((self.path / DESCRIPTION).read_text())

    @property
    def code_services(self) -> tuple[str, ...]:
        return tuple(self.description.get("code_services", ()))

    @property
    def refused(self) -> str | None:
        return self.description.get("refused")

    @property
    def own_server(self) -> bool:
        """Whether its services cannot load a module's code, so that this gets its own code server."""
        return bool(self.description.get("own_server"))

    def lay_out(self, root: Path) -> Path:
        """Copy the workspace to a folder."""
        services = root / settings.SERVICES
        shutil.copytree(self.path, services, ignore=shutil.ignore_patterns(AT_ROOT, DESCRIPTION))
        if (self.path / AT_ROOT).is_dir():
            shutil.copytree(self.path / AT_ROOT, root, dirs_exist_ok=True)
        for folder in ("projects/older/src", "services/dagster/other"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        return root


def cases() -> list[Case]:
    return [Case(path.parent) for path in sorted(CASES.glob(f"*/{DESCRIPTION}"))]


@dataclass(frozen=True)
class Modules:
    """Modules by name, with the folders that they were made in."""

    folders: Mapping[str, Path]

    def put(self, root: Path, *names: str) -> None:
        for name in names:
            shutil.copytree(self.folders[name], root / settings.PROJECTS / name)


def bytes_of(root: Path) -> dict[str, bytes]:
    """Return every file of a workspace but its modules and what the engine keeps for itself."""
    own = {root / settings.PROJECTS, ControlFiles(root).modules}
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not own.intersection(path.parents)
    }


@dataclass(frozen=True)
class Resolved:
    """The compose project as Compose itself understands it."""

    data: Mapping[str, Any]
    root: Path = field(default=Path())

    def service(self, name: str) -> Mapping[str, Any]:
        return self.data["services"][name]

    def environment(self, service: str) -> Mapping[str, str | None]:
        return self.service(service).get("environment") or {}

    def mounted(self, service: str, path: str) -> tuple[str, str] | None:
        """Return the source of the deepest mount that a container's path lies in, and the path below it."""
        mounts = [mount for mount in self.service(service).get("volumes") or () if mount["type"] in {"bind", "volume"}]
        inside = [mount for mount in mounts if PurePosixPath(path).is_relative_to(mount["target"])]
        if not inside:
            return None
        deepest = max(inside, key=lambda mount: len(mount["target"]))
        return deepest["source"], os.path.relpath(path, deepest["target"])

    def networks(self, service: str) -> set[str]:
        return set(self.service(service).get("networks") or {"default": None})


def resolved(compose: Path, root: Path) -> Resolved:
    """Return what Compose makes of a workspace's compose file; fails where Compose does not accept it."""
    folder = root / settings.SERVICES
    environ = {"PATH": os.environ["PATH"], "HOME": str(root)}
    command = [compose, "--profile", "*", "config", "--format", "json"]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{(folder / 'docker-compose.yml').read_text()}"
    return Resolved(json.loads(done.stdout), root)


def location(root: Path, name: str) -> Mapping[str, Any]:
    """Return the entry of a code location in ``workspace.yaml``."""
    data = yaml.safe_load((root / settings.SERVICES / "workspace.yaml").read_bytes())
    entries = (target for item in data["load_from"] if isinstance(item, dict) for target in item.values())
    return next(entry for entry in entries if isinstance(entry, dict) and entry.get("location_name") == name)


def permutations_of_removal(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield names
    yield names[::-1]

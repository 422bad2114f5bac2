"""Where modules store data, according to their blocks, or to the registry once the modules are removed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.claims.facts import load_lines
from dagster_module_builder.shared_files.formats import compose

#: Stored assets, a folder for each module: below ``data/``, and in the workspace's storage volume.
STORAGE = PurePosixPath(settings.DATA, "storage")
STORAGE_VOLUME = "dagster_storage"

Slot = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Stores:
    """Where a module stores data.

    Attributes:
        services: Its Compose services, which use the volumes.
        volumes: Its volumes, by their names in its Compose fragment.
        folders: The folders that its services may write to, relative to the workspace's root.
    """

    services: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __or__(self, other: Stores) -> Stores:
        """Return the union of both."""
        return Stores(*(tuple(dict.fromkeys([*mine, *theirs])) for mine, theirs in self._pairs(other)))

    def __sub__(self, other: Stores) -> Stores:
        """Return what only this one has."""
        return Stores(*(tuple(name for name in mine if name not in theirs) for mine, theirs in self._pairs(other)))

    def _pairs(self, other: Stores) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        return ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)

    @property
    def holds(self) -> bool:
        """Whether it has volumes or folders, which may hold data."""
        return bool(self.volumes or self.folders)

    def owned(self, marker: str, module: str) -> Stores:
        """Return the same with only the folders that may be deleted with a module."""
        return replace(self, folders=tuple(folder for folder in self.folders if is_own(folder, marker, module)))

    def to_json(self) -> dict[str, list[str]]:
        """Return the form in which the registry stores it."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Mapping[str, Iterable[str]] | None) -> Stores:
        """Read the form in which the registry stores it."""
        return cls(**{name: tuple((data or {}).get(name, ())) for name in cls.__dataclass_fields__})


def usual(marker: str) -> Stores:
    """Return what the template's modules have, for modules removed by a version that did not remember it."""
    return Stores((f"{marker}_db", f"{marker}_code"), (f"{marker}_db_data",), (f"{STORAGE}/{marker}",))


def stores_of(bodies: Mapping[Slot, Iterable[bytes]], root: Path) -> Stores:
    """Return where a module stores data, from the bodies of its blocks by file and slot."""
    services, volumes = (
        load_lines(tuple(bodies.get((compose.NAME, (section,)), ()))) or {} for section in ("services", "volumes")
    )
    return Stores(tuple(services), tuple(volumes), tuple(dict.fromkeys(bound(services, root))))


def bound(services: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield the folders that services may write to, relative to the workspace's root; links are not followed."""
    base = os.path.normpath(root.absolute())
    for service in services.values():
        volumes = service.get("volumes") if isinstance(service, Mapping) else None
        for source in map(_writable_source, volumes if isinstance(volumes, list) else ()):
            if source is not None:
                path = os.path.normpath(layout_of(Path(base)).compose_folder / source)
                if path == base or path.startswith(f"{base}{os.sep}"):
                    yield os.path.relpath(path, base)


def _writable_source(volume: object) -> str | None:
    """Return the host folder that a volume mounts writable, or None: ``"../data:/data" -> "../data"``."""
    if isinstance(volume, dict):
        source, read_only = volume.get("source"), bool(volume.get("read_only"))
    else:
        source, _, rest = str(volume).partition(":")
        read_only = "ro" in rest.rpartition(":")[2].split(",")
    return source if isinstance(source, str) and source.startswith((".", "/")) and not read_only else None


def is_own(folder: str, marker: str, module: str) -> bool:
    """Return whether a folder may be deleted with a module: it is below ``data/`` of the workspace or of the module.

    Args:
        folder: The folder, relative to the workspace's root.
        marker: The module's marker, which is also the name of its folder of stored assets.
        module: The module's folder, relative to the workspace's root.
    """
    path = PurePosixPath(folder)
    if {".git", ".."} & {*path.parts} or path == PurePosixPath(settings.DATA):
        return False
    if path == STORAGE or STORAGE in path.parents:
        return path == STORAGE / marker or STORAGE / marker in path.parents
    return any(path.is_relative_to(top) for top in (PurePosixPath(settings.DATA), PurePosixPath(module, "data")))

"""Where modules store: what their blocks say, and what the registry remembers of modules that are gone. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.claims.facts import load_lines
from dagster_module_builder.shared_files.formats import compose

#: Stored assets, a folder for each module: below ``data/``, and in the workspace's volume of that name.
STORAGE = PurePosixPath(settings.DATA, "storage")
STORAGE_VOLUME = "dagster_storage"

Slot = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Stores:
    """Where a module stores.

    Attributes:
        services: Its Compose services, which use the volumes.
        volumes: Its volumes, as its Compose fragment calls them.
        folders: The folders that its services may write to, relative to the workspace's root.
    """

    services: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    def __or__(self, other: Stores) -> Stores:
        """Return what either has."""
        return Stores(*(tuple(dict.fromkeys([*mine, *theirs])) for mine, theirs in self._beside(other)))

    def __sub__(self, other: Stores) -> Stores:
        """Return what the other lacks."""
        return Stores(*(tuple(name for name in mine if name not in theirs) for mine, theirs in self._beside(other)))

    def _beside(self, other: Stores) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
        return ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)

    @property
    def holds(self) -> bool:
        """Whether there is anything that may hold data."""
        return bool(self.volumes or self.folders)

    def owned(self, marker: str, module: str) -> Stores:
        """Return the same with those folders only that may be deleted with a module."""
        return replace(self, folders=tuple(one for one in self.folders if is_own(one, marker, module)))

    def to_json(self) -> dict[str, list[str]]:
        """Return what the registry keeps."""
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, data: Mapping[str, Iterable[str]] | None) -> Stores:
        """Read what the registry keeps."""
        return cls(**{name: tuple((data or {}).get(name, ())) for name in cls.__dataclass_fields__})


def usual(marker: str) -> Stores:
    """Return what the template's modules have, for those that were taken out by a version that remembered nothing."""
    return Stores((f"{marker}_db", f"{marker}_code"), (f"{marker}_db_data",), (f"{STORAGE}/{marker}",))


def stores_of(bodies: Mapping[Slot, Iterable[bytes]], root: Path) -> Stores:
    """Return where a module stores, from the bodies of its blocks by file and slot."""
    services, volumes = (
        load_lines(tuple(bodies.get((compose.NAME, (section,)), ()))) or {} for section in ("services", "volumes")
    )
    return Stores(tuple(services), tuple(volumes), tuple(dict.fromkeys(bound(services, root))))


def bound(services: Mapping[str, Any], root: Path) -> Iterator[str]:
    """Yield the folders in the workspace that services may write to, relative to its root; links are not followed."""
    base = os.path.normpath(root.absolute())
    for service in services.values():
        volumes = service.get("volumes") if isinstance(service, Mapping) else None
        for source in map(_writable_source, volumes if isinstance(volumes, list) else ()):
            if source is not None:
                path = os.path.normpath(Path(base, settings.SERVICES, source))
                if path == base or path.startswith(f"{base}{os.sep}"):
                    yield os.path.relpath(path, base)


def _writable_source(volume: object) -> str | None:
    """Return the folder of this machine that an entry of ``volumes`` mounts to be written to."""
    if isinstance(volume, dict):
        source, read_only = volume.get("source"), bool(volume.get("read_only"))
    else:
        source, _, rest = str(volume).partition(":")
        read_only = "ro" in rest.rpartition(":")[2].split(",")
    return source if isinstance(source, str) and source.startswith((".", "/")) and not read_only else None


def is_own(folder: str, marker: str, module: str) -> bool:
    """Tell whether a folder may be deleted with a module: it lies below ``data/``, the workspace's or the module's own.

    Args:
        folder: The folder, relative to the workspace's root.
        marker: The module's marker, its folder of the stored assets.
        module: The module's folder, relative to the workspace's root.
    """
    path = PurePosixPath(folder)
    if {".git", ".."} & {*path.parts} or path == PurePosixPath(settings.DATA):
        return False
    if path == STORAGE or STORAGE in path.parents:
        return path == STORAGE / marker or STORAGE / marker in path.parents
    return any(path.is_relative_to(top) for top in (PurePosixPath(settings.DATA), PurePosixPath(module, "data")))

"""``modules/.registry``: which modules are integrated, and what was written for each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.claims.stores import Stores
from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Scaffold
from dagster_module_builder.shared_files.merge import MergedFile
from dagster_module_builder.shared_files.registered_file import Digests, RegisteredFile
from dagster_module_builder.shared_files.sealing import Seal

VERSION = "1.0.0"

#: Which key the registry's digests of secrets were made with.
_KEY = "key"

_DOT = "\\."
_BETWEEN_KEYS = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True)
class Entry:
    """One integrated module; ``data`` is its entry as the file holds it, unknown keys included."""

    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The module's name."""
        return str(self.data["name"])

    @property
    def marker(self) -> str:
        """What its blocks are marked with."""
        return str(self.data.get("marker") or ModuleNames(self.name).snake)

    @property
    def path(self) -> str:
        """Its folder, relative to the workspace's root where it lies inside."""
        return str(self.data.get("path") or settings.PROJECTS / self.name)

    @property
    def blocks(self) -> Mapping[str, str]:
        """The digest of each of its blocks, by slot."""
        found = self.data.get("blocks")
        return found if isinstance(found, dict) else {}

    @property
    def database(self) -> Mapping[str, Any] | None:
        """Its database's type, service and port."""
        return self.data.get("database")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The settings of its fragments that a person allowed."""
        return tuple(self.data.get("allowed") or ())

    @property
    def provides(self) -> Mapping[str, Any] | None:
        """What its blocks claim in the workspace (services, ports, …), as written when they were."""
        return self.data.get("provides")


@dataclass(frozen=True)
class Registry:
    """The registry file, parsed; everything unknown in it is kept."""

    data: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def entries(self) -> list[Entry]:
        """The integrated modules, by name."""
        return [Entry(data) for data in self.data.get("integrated_modules", [])]

    def find(self, name: str) -> Entry | None:
        """Return the entry of a module, or None."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Entry]:
        return {entry.name: entry for entry in self.entries}

    def known(self, file: str, seal: Seal | None = None) -> RegisteredFile:
        """Return what is remembered of one shared file, and through which seal."""
        scaffolds = {
            path: Scaffold(_encoded(made["before"]), _encoded(made["after"]))
            for slot, made in self.data.get("scaffolds", {}).items()
            if (path := _path_in(file, slot)) is not None
        }
        return RegisteredFile(self._digests.get(file, {}), scaffolds, seal)

    @cached_property
    def _digests(self) -> dict[str, dict[str, Digests]]:
        """The digest of every block, by file, marker and slot: of a thousand modules, in one pass."""
        found: dict[str, dict[str, Digests]] = {}
        for entry in self.entries:
            marker = entry.marker
            for slot, value in entry.blocks.items():
                file, path = _split(slot)
                found.setdefault(file, {}).setdefault(marker, {})[path] = value
        return found

    @property
    def code_services(self) -> tuple[str, ...]:
        """The services that run code, where a person had to name them."""
        return tuple(map(str, self.data.get("code_services") or ()))

    @property
    def left_behind(self) -> dict[str, Stores]:
        """Where modules stored that are gone, or store elsewhere now, by marker: until that is deleted."""
        return {marker: Stores.from_json(data) for marker, data in self.data.get("left_behind", {}).items()}

    def with_left_behind(self, changes: Mapping[str, Stores]) -> Registry:
        """Return the registry with what these markers leave behind; what holds nothing is not kept."""
        changed = {marker: stores for marker, stores in {**self.left_behind, **changes}.items() if stores.holds}
        data = {key: value for key, value in self.data.items() if key != "left_behind"}
        if changed:
            data["left_behind"] = {marker: changed[marker].to_json() for marker in sorted(changed)}
        return replace(self, data=data)

    def is_sealed_by(self, seal: Seal) -> bool:
        """Tell whether what is remembered of secrets was sealed with this key."""
        return bool(self.data.get(_KEY) == seal.identity)

    def sealed(self, file: str, seal: Seal, lost: Callable[[Entry], str | None]) -> Registry:
        """Return the registry with what it remembers of one file sealed, as earlier versions did not have it.

        Args:
            file: The file, which holds secrets.
            seal: The seal.
            lost: Returns the digest of what a module gives to the file; asked where the key of before is gone, so that
                its block is still known as long as it is that.
        """
        is_lost = _KEY in self.data and not self.is_sealed_by(seal)
        entries = []
        for entry in self.entries:
            again = lost(entry) if is_lost and file in entry.blocks else None
            blocks = {
                slot: seal(again or str(digest)) if _split(slot)[0] == file else digest
                for slot, digest in entry.blocks.items()
            }
            entries.append({**entry.data, "blocks": blocks} if entry.blocks else entry.data)
        scaffolds = {
            slot: _sealed_lines(made, seal) if _split(slot)[0] == file else made
            for slot, made in self.data.get("scaffolds", {}).items()
        }
        data = {"version": self.data.get("version", VERSION), **self.data, "integrated_modules": entries}
        others = {key: value for key, value in data.items() if key not in {"version", _KEY, "scaffolds"}}
        kept = {"scaffolds": scaffolds} if scaffolds else {}
        return replace(self, data={"version": data["version"], _KEY: seal.identity, **others, **kept})

    def with_entries(
        self, entries: Mapping[str, Entry | None], merged: Mapping[str, MergedFile], code_services: Sequence[str] = ()
    ) -> Registry:
        """Return the registry with these entries put in (or, where None, taken out) and these files' scaffolds."""
        kept = [entry for entry in self.entries if entry.name not in entries]
        modules = sorted([*kept, *filter(None, entries.values())], key=lambda entry: entry.name)
        scaffolds = {
            slot: made
            for slot, made in self.data.get("scaffolds", {}).items()
            if not any(_path_in(file, slot) is not None for file in merged)
        }
        for file, result in merged.items():
            for path, scaffold in result.scaffolds.items():
                scaffolds[slot_name(file, path)] = _decoded(scaffold)
        data = {**self.data, "version": self.data.get("version", VERSION)}
        if code_services:
            data["code_services"] = list(code_services)
        data["integrated_modules"] = [entry.data for entry in modules]
        data.pop("scaffolds", None)
        return replace(self, data={**data, "scaffolds": scaffolds} if scaffolds else data)

    def to_bytes(self) -> bytes:
        """Write the registry: a line for each module, so that a version control system merges it well."""
        modules = ",\n".join("    " + json.dumps(entry, ensure_ascii=True) for entry in self.data["integrated_modules"])
        fields = [
            f"  {json.dumps(key)}: "
            + (f"[\n{modules}\n  ]" if key == "integrated_modules" and modules else json.dumps(value))
            for key, value in self.data.items()
        ]
        return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def slot_name(file: str, path: KeyPath) -> str:
    r"""Return a slot's name: the file, and the key path behind a ``#``; a dot within a key is written ``\.``."""
    return f"{file}#{'.'.join(key.replace('.', _DOT) for key in path)}" if path else file


def _split(slot: str) -> tuple[str, KeyPath]:
    file, _, path = slot.partition("#")
    if not path:
        return file, ()
    if "\\" not in path:
        return file, tuple(path.split("."))
    return file, tuple(key.replace(_DOT, ".") for key in _BETWEEN_KEYS.split(path))


def _sealed_lines(made: Mapping[str, list[str]], seal: Seal) -> dict[str, list[str]]:
    """Return a scaffold that says nothing of the line that it is about."""
    sealed = {}
    for side, lines in made.items():
        bare = [line.rstrip("\r\n") for line in lines]
        sealed[side] = [
            seal.line(text.encode("utf-8", "surrogateescape")).decode() + line[len(text) :]
            for line, text in zip(lines, bare, strict=True)
        ]
    return sealed


def _path_in(file: str, slot: str) -> KeyPath | None:
    name, path = _split(slot)
    return path if name == file else None


def _encoded(lines: list[str]) -> tuple[bytes, ...]:
    return tuple(line.encode("utf-8", "surrogateescape") for line in lines)


def _decoded(scaffold: Scaffold) -> dict[str, list[str]]:
    return {
        side: [line.decode("utf-8", "surrogateescape") for line in lines]
        for side, lines in (("before", scaffold.before), ("after", scaffold.after))
    }


def parse_registry(path: Path, text: bytes | None) -> Registry:
    """Read the registry; a missing file is an empty one.

    Raises:
        DamagedFileError: The file is not what it has to be.
    """
    if text is None:
        return Registry({"version": VERSION, "integrated_modules": []})
    try:
        data = json.loads(text)
        if not _is_registry(data):
            raise TypeError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise DamagedFileError(
            path,
            line,
            "this is not a registry of modules",
            "See 'workspace.backups', and put one back with 'workspace.restore ID'.",
        ) from None
    return Registry(data)


def _is_registry(data: Any) -> bool:
    entries, scaffolds = data["integrated_modules"], data.get("scaffolds", {})
    left = [names for stores in data.get("left_behind", {}).values() for names in stores.values()]
    sides = [scaffold[side] for scaffold in scaffolds.values() for side in ("before", "after")]
    names = [entry["name"] for entry in entries]
    # Older versions wrote less; what is there has to be of its kind.
    return (
        all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
        and all(isinstance(entry.get(key, ""), str) for entry in entries for key in ("marker", "path"))
        and all(
            isinstance(entry.get(key) or "", str) for entry in entries for key in ("integrated_at", "template_version")
        )
        and all(
            isinstance(entry.get(key) or {}, dict) for entry in entries for key in ("blocks", "database", "provides")
        )
        and all(isinstance(name, str) for entry in entries for name in entry.get("allowed") or ())
        and all(isinstance(claimed, list) for entry in entries for claimed in (entry.get("provides") or {}).values())
        and all(isinstance(side, list) and all(isinstance(line, str) for line in side) for side in [*sides, *left])
    )

"""``modules/.registry``: the integrated modules, and what was written for each."""

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

#: Identifies the key of the registry's sealed digests.
_KEY = "key"

_DOT = "\\."
_BETWEEN_KEYS = re.compile(r"(?<!\\)\.")


@dataclass(frozen=True)
class ModuleEntry:
    """One integrated module; ``data`` is its entry in the file, including unknown keys."""

    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The module's name."""
        return str(self.data["name"])

    @property
    def marker(self) -> str:
        """The name in its blocks' markers."""
        return str(self.data.get("marker") or ModuleNames(self.name).snake)

    @property
    def path(self) -> str:
        """Its folder, relative to the workspace's root if it is inside."""
        return str(self.data.get("path") or settings.PROJECTS / self.name)

    @property
    def blocks(self) -> Mapping[str, str]:
        """The digest of each of its blocks, by slot."""
        blocks = self.data.get("blocks")
        return blocks if isinstance(blocks, dict) else {}

    @property
    def database(self) -> Mapping[str, Any] | None:
        """Its database's type, service and port."""
        return self.data.get("database")

    @property
    def allowed(self) -> tuple[str, ...]:
        """The settings of its fragments that the user allowed."""
        return tuple(self.data.get("allowed") or ())

    @property
    def code_server(self) -> str:
        """``own`` if a person chose an own code server for it, else empty."""
        return str(self.data.get("code_server") or "")

    @property
    def provides(self) -> Mapping[str, Any] | None:
        """What its blocks claim in the workspace (services, ports, …), recorded with the blocks."""
        return self.data.get("provides")


@dataclass(frozen=True)
class Registry:
    """The parsed registry file; unknown keys are kept."""

    data: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def entries(self) -> list[ModuleEntry]:
        """The integrated modules, by name."""
        return [ModuleEntry(data) for data in self.data.get("integrated_modules", [])]

    def find(self, name: str) -> ModuleEntry | None:
        """Return the entry of a module, or None."""
        return self._by_name.get(name)

    def find_typed(self, name: str) -> ModuleEntry | None:
        """Return the entry of a module as a person names it: ``sales_report`` is ``sales-report``; or None.

        No two modules of a workspace differ in that alone.
        """
        same = (entry for entry in self.entries if entry.marker == ModuleNames(name).snake)
        return self.find(name) or next(same, None)

    @cached_property
    def _by_name(self) -> dict[str, ModuleEntry]:
        return {entry.name: entry for entry in self.entries}

    def known(self, file: str, seal: Seal | None = None) -> RegisteredFile:
        """Return what the registry remembers of one shared file."""
        scaffolds = {
            path: Scaffold(_encoded(scaffold["before"]), _encoded(scaffold["after"]))
            for slot, scaffold in self.data.get("scaffolds", {}).items()
            if (path := _path_in(file, slot)) is not None
        }
        return RegisteredFile(self._digests.get(file, {}), scaffolds, seal)

    @cached_property
    def _digests(self) -> dict[str, dict[str, Digests]]:
        """The digest of every block by file, marker and slot, collected in one pass for speed."""
        digests: dict[str, dict[str, Digests]] = {}
        for entry in self.entries:
            marker = entry.marker
            for slot, value in entry.blocks.items():
                file, path = _split(slot)
                digests.setdefault(file, {}).setdefault(marker, {})[path] = value
        return digests

    @property
    def code_services(self) -> tuple[str, ...]:
        """The services that run code, if the user had to name them."""
        return tuple(map(str, self.data.get("code_services") or ()))

    @property
    def left_behind(self) -> dict[str, Stores]:
        """By marker, where removed or changed modules have stored data that is not deleted yet."""
        return {marker: Stores.from_json(data) for marker, data in self.data.get("left_behind", {}).items()}

    def with_left_behind(self, changes: Mapping[str, Stores]) -> Registry:
        """Return the registry with what these markers leave behind; empty stores are dropped."""
        changed = {marker: stores for marker, stores in {**self.left_behind, **changes}.items() if stores.holds}
        data = {key: value for key, value in self.data.items() if key != "left_behind"}
        if changed:
            data["left_behind"] = {marker: changed[marker].to_json() for marker in sorted(changed)}
        return replace(self, data=data)

    def is_sealed_by(self, seal: Seal) -> bool:
        """Return whether the registry's digests of secrets were sealed with this key."""
        return bool(self.data.get(_KEY) == seal.identity)

    def sealed(self, file: str, seal: Seal, lost: Callable[[ModuleEntry], str | None]) -> Registry:
        """Return the registry with its digests of one file sealed, which earlier versions did not do.

        Args:
            file: The file, which has secrets.
            seal: The seal.
            lost: Returns the digest of a module's fragment for the file. It is called if the previous key is lost: a
                block is then known if it equals the fragment.
        """
        is_lost = _KEY in self.data and not self.is_sealed_by(seal)
        entries = []
        for entry in self.entries:
            current = lost(entry) if is_lost and file in entry.blocks else None
            blocks = {
                slot: seal(current or str(digest)) if _split(slot)[0] == file else digest
                for slot, digest in entry.blocks.items()
            }
            entries.append({**entry.data, "blocks": blocks} if entry.blocks else entry.data)
        scaffolds = {
            slot: _sealed_lines(scaffold, seal) if _split(slot)[0] == file else scaffold
            for slot, scaffold in self.data.get("scaffolds", {}).items()
        }
        data = {"version": self.data.get("version", VERSION), **self.data, "integrated_modules": entries}
        others = {key: value for key, value in data.items() if key not in {"version", _KEY, "scaffolds"}}
        kept = {"scaffolds": scaffolds} if scaffolds else {}
        return replace(self, data={"version": data["version"], _KEY: seal.identity, **others, **kept})

    def with_entries(
        self,
        entries: Mapping[str, ModuleEntry | None],
        merged: Mapping[str, MergedFile],
        code_services: Sequence[str] = (),
    ) -> Registry:
        """Return the registry with these entries added (or removed if None) and with these files' scaffolds."""
        kept = [entry for entry in self.entries if entry.name not in entries]
        modules = sorted([*kept, *filter(None, entries.values())], key=lambda entry: entry.name)
        scaffolds = {
            slot: scaffold
            for slot, scaffold in self.data.get("scaffolds", {}).items()
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
        """Return the registry's bytes: a line for each module, which version control merges well."""
        modules = ",\n".join("    " + json.dumps(entry, ensure_ascii=True) for entry in self.data["integrated_modules"])
        fields = [
            f"  {json.dumps(key)}: "
            + (f"[\n{modules}\n  ]" if key == "integrated_modules" and modules else json.dumps(value))
            for key, value in self.data.items()
        ]
        return ("{\n" + ",\n".join(fields) + "\n}\n").encode()


def slot_name(file: str, path: KeyPath) -> str:
    r"""Return a slot's name: ``("a.yml", ("x", "y.z")) -> "a.yml#x.y\.z"``."""
    return f"{file}#{'.'.join(key.replace('.', _DOT) for key in path)}" if path else file


def _split(slot: str) -> tuple[str, KeyPath]:
    file, _, path = slot.partition("#")
    if not path:
        return file, ()
    if "\\" not in path:
        return file, tuple(path.split("."))
    return file, tuple(key.replace(_DOT, ".") for key in _BETWEEN_KEYS.split(path))


def _sealed_lines(scaffold: Mapping[str, list[str]], seal: Seal) -> dict[str, list[str]]:
    """Return a scaffold with its lines sealed."""
    sealed = {}
    for side, lines in scaffold.items():
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
    """Return the parsed registry; that of a missing file is empty.

    Raises:
        DamagedFileError: The file is not a registry.
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
            "List backups with 'workspace.backups', and restore one with 'workspace.restore ID'.",
        ) from None
    return Registry(data)


def _is_registry(data: Any) -> bool:
    entries, scaffolds = data["integrated_modules"], data.get("scaffolds", {})
    left = [names for stores in data.get("left_behind", {}).values() for names in stores.values()]
    sides = [scaffold[side] for scaffold in scaffolds.values() for side in ("before", "after")]
    names = [entry["name"] for entry in entries]
    # Earlier versions wrote fewer keys, but those of the same types.
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

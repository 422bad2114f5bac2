"""Where the modules of a host store their assets: one place for all of them that lasts. Pure."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.deploy.host_side.storage import DEFAULT
from dagster_module_builder.shared_files.formats import env_file, env_value

VARIABLE = "DAGSTER_STORAGE_DIR"
#: The default folder for assets, below the base path.
FOLDER = "storage"

_STARTED = "as Dagster was started"
_COMMENT = b"# Where all modules of this host store their assets. Copy what is stored there before you change it.\n"


@dataclass(frozen=True)
class HostStorage:
    """Where a host's modules store assets.

    Attributes:
        place: A folder, or an address of object storage.
        said: What sets it, for messages; empty for the default.
        before: Where they stored assets until now; the same if that does not change.
        brings: Whether assets in the default folder of the modules' code have to be copied.
    """

    place: str
    said: str
    before: str
    brings: bool = False

    @property
    def is_of_processes(self) -> bool:
        """Whether Dagster's processes were started with it, so that ``.env`` must not set anything else."""
        return self.said == _STARTED


def storage_of(
    base: str, host_env: tuple[str, bytes], seen: Mapping[str, Any], envs: Mapping[str, bytes], *, is_in_use: bool
) -> HostStorage | None:
    """Return where the modules of a host will store assets; None if that cannot be known.

    A deployment's setting counts first, then the host's. The default is a folder below the base path, since the default
    of the modules' own code is in ``/tmp``.

    Args:
        base: The base path.
        host_env: Path and text of the host's ``.env``.
        seen: What the host reported (``storage_seen``).
        envs: The new settings of modules, by their source.
        is_in_use: Whether the host's Dagster has any code location now.
    """
    path, text = host_env
    present = env_file.values(text).get(VARIABLE) or seen["told"]
    for name, env in envs.items():
        if folder := env_file.values(env).get(VARIABLE):
            return HostStorage(folder, name, present or (DEFAULT if seen["held"] and is_in_use else folder))
    if present:
        in_file = VARIABLE in env_file.keys(text)
        return HostStorage(present, path if in_file else _STARTED, present)
    if not seen["seen"]:
        return None
    held = seen["held"] and is_in_use
    place = posixpath.join(base, FOLDER)
    return HostStorage(place, "", DEFAULT if held else place, brings=held)


def present(text: bytes, seen: Mapping[str, Any]) -> str:
    """Return where the modules of a host store assets now.

    Args:
        text: The host's ``.env``.
        seen: What the host reported (``storage_seen``).
    """
    return env_file.values(text).get(VARIABLE) or seen["told"] or DEFAULT


def problem(storage: HostStorage, base: str, temporary: list[str]) -> str | None:
    """Return that a folder does not last, and what to do; None if it lasts as long as the base path.

    Args:
        storage: The storage.
        base: The base path.
        temporary: The folders of the host that do not last.
    """
    place = posixpath.normpath(storage.place)
    if not any(_is_below(place, folder) and not _is_below(base, folder) for folder in temporary):
        return None
    lasting = posixpath.join(base, FOLDER)
    copy = f"mkdir -p {shlex.quote(lasting)} && cp -a {shlex.quote(place)}/. {shlex.quote(lasting)}/"
    return (
        f"Assets would be stored in {place} ({storage.said}), which a restart may empty. Run '{copy}' on the host to "
        f"copy the existing ones, and set {VARIABLE} to {lasting}, or to another folder that lasts."
    )


def unknown(path: str) -> str:
    """Return the note for a host where it cannot be seen where modules store assets.

    Args:
        path: The host's ``.env``.
    """
    return (
        f"This user cannot see Dagster's processes, so it is not known where they store assets. The default is "
        f"{DEFAULT}, which does not last: set {VARIABLE} in {path} on the host."
    )


def notes(storage: HostStorage) -> list[str]:
    """Return a note for the user if assets are now stored in another place."""
    if storage.place == storage.before:
        return []
    copied = f"those in {storage.before} were copied, and can be deleted there"
    left = f"those in {storage.before} stay there, and are not read any more unless you copy them"
    runs = " Runs that began earlier still use the old folder." if storage.brings else ""
    return [
        f"All modules of this host now store assets in {storage.place}; {copied if storage.brings else left}.{runs}"
    ]


def own_folder(section: Mapping[str, Any]) -> str | None:
    """Return the storage folder of a module with its own code server; None if its deployment does not set one.

    Earlier versions wrote the default of the modules' code into every ``deployment.yaml``.

    Args:
        section: ``docker`` of ``deployment.yaml``.
    """
    folder: str | None = section.get("storage")
    return None if folder == DEFAULT else folder


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{posixpath.normpath(folder).rstrip('/')}/")


def with_line(text: bytes | None, place: str) -> bytes | None:
    """Return a host's ``.env`` with the storage folder, unless it has one or cannot express the path."""
    value = env_value.written(place)
    if value is None or VARIABLE in env_file.keys(text or b""):
        return text
    return _COMMENT + f"{VARIABLE}={value}\n".encode() + (text or b"")


def without_line(text: bytes | None) -> bytes | None:
    """Return a host's ``.env`` without the line that ``with_line`` added."""
    before, comment, rest = (text or b"").partition(_COMMENT)
    if not comment or not rest.startswith(f"{VARIABLE}=".encode()):
        return text
    return before + rest.partition(b"\n")[2]

"""Where the modules of a host store their assets: one place for all of them, and one that lasts. Pure."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dagster_module_builder.deploy.host_side.storage import DEFAULT
from dagster_module_builder.shared_files.formats import env_file, env_value

VARIABLE = "DAGSTER_STORAGE_DIR"
#: The folder below the base path that assets are stored in unless something else is said.
FOLDER = "storage"

_STARTED = "as Dagster was started"
_COMMENT = b"# Where all modules of this host store their assets. Copy what is stored there before you change it.\n"


@dataclass(frozen=True)
class HostStorage:
    """Where a host's modules store.

    Attributes:
        place: A folder, or an address of object storage.
        said: Where that is said, for people; empty where nothing says it yet.
        before: Where they stored until now; the same where that does not change.
        brings: Whether what is stored in the default place has to be brought along.
    """

    place: str
    said: str
    before: str
    brings: bool = False

    @property
    def is_of_processes(self) -> bool:
        """Whether Dagster's processes were started with it: the host's ``.env`` must not say anything else."""
        return self.said == _STARTED


def storage_of(
    base: str, host_env: tuple[str, bytes], seen: Mapping[str, Any], envs: Mapping[str, bytes], *, is_in_use: bool
) -> HostStorage | None:
    """Return where the modules of a host store from now on; None where that cannot be known.

    What a deployment says counts, then what the host says. Where nothing is said, it is a folder below the base path:
    the default of the modules' own code is in ``/tmp``.

    Args:
        base: The base path.
        host_env: Path and text of the host's ``.env``.
        seen: What the host found (``storage_seen``).
        envs: The settings that modules are about to get, by where they are from.
        is_in_use: Whether the host's Dagster has any code location now.
    """
    path, text = host_env
    present = env_file.values(text).get(VARIABLE) or seen["told"]
    for name, env in envs.items():
        if given := env_file.values(env).get(VARIABLE):
            return HostStorage(given, name, present or (DEFAULT if seen["held"] and is_in_use else given))
    if present:
        in_file = VARIABLE in env_file.keys(text)
        return HostStorage(present, path if in_file else _STARTED, present)
    if not seen["seen"]:
        return None
    held = seen["held"] and is_in_use
    place = posixpath.join(base, FOLDER)
    return HostStorage(place, "", DEFAULT if held else place, brings=held)


def present(text: bytes, seen: Mapping[str, Any]) -> str:
    """Return where the modules of a host store now.

    Args:
        text: The host's ``.env``.
        seen: What the host found (``storage_seen``).
    """
    return env_file.values(text).get(VARIABLE) or seen["told"] or DEFAULT


def problem(storage: HostStorage, base: str, temporary: list[str]) -> str | None:
    """Say that a place does not last, and what to do; None where it lasts as long as the base path itself.

    Args:
        storage: The place.
        base: The base path.
        temporary: The folders of the host below which nothing lasts.
    """
    place = posixpath.normpath(storage.place)
    if not any(_is_below(place, one) and not _is_below(base, one) for one in temporary):
        return None
    lasting = posixpath.join(base, FOLDER)
    copy = f"mkdir -p {shlex.quote(lasting)} && cp -a {shlex.quote(place)}/. {shlex.quote(lasting)}/"
    return (
        f"Assets would be stored in {place} ({storage.said}), which does not last: a restart may empty it. Copy what "
        f"is stored there ('{copy}' on the host), and set {VARIABLE} to {lasting}, or to another folder that lasts."
    )


def unknown(path: str) -> str:
    """Return what is said where nothing can be seen of where a host's modules store.

    Args:
        path: The host's ``.env``.
    """
    return (
        f"Dagster's processes are not visible to this user, so it is not known where they store assets. If nothing "
        f"says it, that is {DEFAULT}, which does not last: set {VARIABLE} in {path} on the host."
    )


def notes(storage: HostStorage) -> list[str]:
    """Return what a person should know of where assets are stored now, where that has changed."""
    if storage.place == storage.before:
        return []
    copied = f"what was stored in {storage.before} was brought along, and can be deleted there"
    left = f"what was stored in {storage.before} stays there, and is not read any more unless you copy it"
    runs = " Runs that began before still store in the old place." if storage.brings else ""
    return [f"All modules of this host store in {storage.place} now; {copied if storage.brings else left}.{runs}"]


def own_folder(section: Mapping[str, Any]) -> str | None:
    """Return the folder that a code server of a module's own stores in; None where its deployment does not say.

    Earlier versions wrote the default of the modules' code into every ``deployment.yaml``.

    Args:
        section: ``docker`` of ``deployment.yaml``.
    """
    folder: str | None = section.get("storage")
    return None if folder == DEFAULT else folder


def _is_below(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{posixpath.normpath(folder).rstrip('/')}/")


def with_line(text: bytes | None, place: str) -> bytes | None:
    """Return a host's ``.env`` that says where modules store, unless it does already, or has no way to say that."""
    value = env_value.written(place)
    if value is None or VARIABLE in env_file.keys(text or b""):
        return text
    return _COMMENT + f"{VARIABLE}={value}\n".encode() + (text or b"")


def without_line(text: bytes | None) -> bytes | None:
    """Return a host's ``.env`` without the line that ``with_line`` put there."""
    before, comment, rest = (text or b"").partition(_COMMENT)
    if not comment or not rest.startswith(f"{VARIABLE}=".encode()):
        return text
    return before + rest.partition(b"\n")[2]

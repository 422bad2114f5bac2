"""A service of a compose project as its container sees it: command, image, mounts, variables, networks."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.claims.facts import has_unset, interpolated
from dagster_module_builder.compose.image import Image
from dagster_module_builder.compose.short_form import clean_path, parts_of

#: The network of services that name none.
DEFAULT_NETWORK = "default"

_LOADS_CODE = re.compile(r"dagster-webserver|\bdagit\b|dagster-daemon|\bdagster\s+dev\b|\bdg\s+dev\b")
_SERVES_CODE = re.compile(r"\bcode-server\s+start\b|\bapi\s+grpc\b")
_OTHER_TOOL = re.compile(r"\b(?:dagster|dg)\s+[a-z]")
_SERVES_MODULES = re.compile(r"/module_servers\b")
_OTHER_LOADER = re.compile(r"dagster-webserver|\bdagit\b|\b(dagster|dg)\s+dev\b")
_NAMED_FOR_LOADING = re.compile(r"webserver|dagit|daemon")
_PROGRAMS = {"dagster-webserver", "dagit", "dagster-daemon", "dagster", "dg"}
_DAGSTER = re.compile(r"dagster|dagit", re.IGNORECASE)
_QUOTED_OR_BREAK = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|(?:\\?\r?\n)+", re.DOTALL)
_IS_PATH = re.compile(r"[./~]")


@dataclass(frozen=True)
class Mount:
    """A mount of a container.

    Attributes:
        source: The host's path of a folder or file, or the name of a volume; None if it is unknown.
        target: The path in the container.
        writable: Whether the container may write there.
        lasting: Whether files written there are kept and can be shared.
    """

    source: str | None
    target: str
    writable: bool = True
    lasting: bool = True

    def covers(self, path: str) -> bool:
        """Return whether a container's path is in this mount."""
        return path == self.target or path.startswith(self.target.rstrip("/") + "/")

    def source_of(self, path: str) -> str | None:
        """Return the outside path of a container's path in this mount: a host path, or ``volume/path``."""
        rest = posixpath.relpath(path, self.target)
        return None if self.source is None else posixpath.normpath(posixpath.join(self.source, rest))

    def target_of(self, host_path: str) -> str | None:
        """Return the container's path of a host's path, or None if this mount does not include it."""
        if self.source is None or not self.source.startswith("/"):
            return None
        inside = host_path == self.source or host_path.startswith(self.source.rstrip("/") + "/")
        return (
            posixpath.normpath(posixpath.join(self.target, posixpath.relpath(host_path, self.source)))
            if inside
            else None
        )


def innermost(mounts: Iterable[Mount], path: str) -> Mount | None:
    """Return the deepest mount that contains a container's path, or None."""
    return max((mount for mount in mounts if mount.covers(path)), key=lambda mount: len(mount.target), default=None)


@dataclass(frozen=True)
class Service:
    """A service of the compose project.

    Attributes:
        name: Its name.
        data: Its definition with merge keys and ``extends`` resolved.
        folder: The compose file's folder.
        env: The variables that Compose interpolates.
        image_of: Its image, if the project builds it.
        dockerfile: The Dockerfile of its image.
        context: The build context; None if it is not a folder of this machine.
        target: The stage of its image, None for the last.
        real_volumes: The engine's names of the volumes.
        env_files: The variables of its ``env_file`` entries.
        env_file: The file that ``env`` is from.
    """

    name: str
    data: Mapping[str, Any]
    folder: Path
    env: Mapping[str, str]
    image_of: Image | None = None
    dockerfile: Path | None = None
    context: Path | None = None
    target: str | None = None
    real_volumes: Mapping[str, str] = field(default_factory=dict)
    env_files: Mapping[str, str] = field(default_factory=dict)
    env_file: Path | None = None

    @cached_property
    def image_name(self) -> str | None:
        """The image's name with variables replaced."""
        name = self.data.get("image")
        return interpolated(str(name), self.env) if name else None

    @cached_property
    def command(self) -> str:
        """Its entrypoint and command, else those of its image."""
        own = [_words(self.data.get(key)) for key in ("entrypoint", "command")]
        if self.image_of is None:
            return " ".join(part for part in own if part)
        entrypoint, command = self.image_of.start(self.target)
        parts = (own[0], own[1]) if own[0] else (entrypoint, own[1] or command)
        return " ".join(part for part in parts if part)

    @property
    def loads_code(self) -> bool:
        """Whether its command loads every code location: a webserver, a daemon, or both."""
        return bool(_LOADS_CODE.search(self.command))

    @property
    def serves_modules(self) -> bool:
        """Whether it runs ``module_servers``: each module as another user, with its variables and its code alone."""
        return bool(_SERVES_MODULES.search(self.command))

    @property
    def is_daemon(self) -> bool:
        """Whether it is only Dagster's daemon, so that a restart interrupts neither pages nor runs."""
        command = self.command
        if not self.is_known:
            return self.seems_to_load_code and "daemon" in self.name
        return "dagster-daemon" in command and not _OTHER_LOADER.search(command)

    @property
    def is_known(self) -> bool:
        """Whether its command shows what it does with code."""
        return bool(
            _LOADS_CODE.search(self.command)
            or _SERVES_CODE.search(self.command)
            or _OTHER_TOOL.search(self.command)
            or self.serves_modules
        )

    @property
    def seems_to_load_code(self) -> bool:
        """Whether its name suggests that it loads code, if its command shows nothing."""
        if self.is_known or not _NAMED_FOR_LOADING.search(self.name):
            return False
        from_image = self.image_of.text if self.image_of else ""
        return bool(_DAGSTER.search(" ".join([self.name, self.image_name or "", self.command, from_image])))

    @cached_property
    def written_environment(self) -> dict[str, str | None]:
        """The variables of its ``environment`` as they are written; None for those passed on from outside."""
        definition = self.data.get("environment")
        if isinstance(definition, dict):
            return {str(key): None if value is None else _scalar(value) for key, value in definition.items()}
        split = (str(entry).partition("=") for entry in definition or ())
        return {name: value if equals else None for name, equals, value in split}

    @cached_property
    def environment(self) -> dict[str, str]:
        """The interpolated variables of its ``environment``, including those passed on from outside."""
        return {
            name: self.env.get(name, "") if value is None else interpolated(value, self.env)
            for name, value in self.written_environment.items()
        }

    def variable(self, name: str) -> str | None:
        """Return the value of a variable in the container; None if the project does not set it."""
        built_in = self.image_of.environment(self.target).get(name) if self.image_of else None
        return self.environment.get(name) or self.env_files.get(name) or built_in

    @cached_property
    def working_dir(self) -> str | None:
        """The container's working directory."""
        folder = self.data.get("working_dir")
        if folder:
            return interpolated(str(folder), self.env)
        return self.image_of.working_dir(self.target) if self.image_of else None

    @cached_property
    def networks(self) -> tuple[str, ...]:
        """The networks that it joins, by their names in the compose file."""
        names = (interpolated(str(name), self.env) for name in self.data.get("networks") or ())
        return tuple(dict.fromkeys(names)) or (DEFAULT_NETWORK,)

    @cached_property
    def mounts(self) -> tuple[Mount, ...]:
        """Its mounts."""
        entries = self.data.get("volumes") or ()
        tmpfs = self.data.get("tmpfs") or ()
        in_memory = [
            Mount(None, str(path).split(":")[0], lasting=False)
            for path in ([tmpfs] if isinstance(tmpfs, str) else tmpfs)
        ]
        mounted = tuple(filter(None, map(self._mount, entries)))
        return (*self._with_copies(mounted), *in_memory)

    def _with_copies(self, mounted: tuple[Mount, ...]) -> tuple[Mount, ...]:
        """Return mounts as the code of modules sees them: copies of the workspace in place of the workspace."""
        original, copy = self.option("--original"), self.option("--copy")
        whole = innermost(mounted, original) if self.serves_modules and original and copy else None
        if whole is None or original is None or copy is None:
            return mounted
        others = (mount for mount in mounted if mount.target not in {whole.target, copy})
        return (*others, Mount(whole.source_of(original), copy, writable=False))

    def _mount(self, entry: Any) -> Mount | None:
        if isinstance(entry, dict):
            kind, target = entry.get("type", "volume"), entry.get("target")
            source, options = str(entry.get("source") or ""), "ro" if entry.get("read_only") else ""
            if not target or kind == "tmpfs":
                return Mount(None, str(target), lasting=False) if target else None
        else:
            parts = parts_of(str(entry))
            source, target, options = (
                ("", parts[0], "") if len(parts) == 1 else (parts[0], parts[1], ":".join(parts[2:]))
            )
            kind = "bind" if _IS_PATH.match(interpolated(source, self.env)) else "volume"
        where = clean_path(interpolated(str(target), self.env))
        writable = "ro" not in options.split(",")
        return Mount(self._source(source, is_path=kind == "bind"), where, writable, lasting=bool(source))

    def _source(self, source: str, *, is_path: bool) -> str | None:
        if not source or has_unset(source, self.env):
            return None
        path = interpolated(source, self.env)
        if is_path or _IS_PATH.match(path):
            return os.path.normpath(self.folder / settings.expanded(path))
        return self.real_volumes.get(path, path)

    @property
    def runs_as_root(self) -> bool:
        """Whether its processes run as root, as far as the project shows."""
        user = self.data.get("user") or (self.image_of.user(self.target) if self.image_of else None) or "root"
        return interpolated(str(user), self.env).split(":")[0] in {"root", "0"}

    @cached_property
    def _command_words(self) -> list[str]:
        try:
            return shlex.split(self.command)
        except ValueError:
            return self.command.split()

    @property
    def starts_dagster(self) -> bool:
        """Whether its command is one of Dagster's programs, not a script that might start one."""
        names = {posixpath.basename(word) for word in self._command_words}
        return self.loads_code and bool(names & _PROGRAMS)

    @property
    def dagster_program(self) -> str | None:
        """The path of Dagster's program that its command starts; None where that is searched for."""
        named = (word for word in self._command_words if posixpath.basename(word) in _PROGRAMS)
        return next((word for word in named if word.startswith("/")), None)

    @cached_property
    def takes_env_file(self) -> bool:
        """Whether what runs in it gets the variables of the workspace's ``.env``, each module's at least."""
        return self.serves_modules or self.env_file in env_files(self.data, self.folder, self.env)

    def option(self, *names: str) -> str | None:
        """Return the value of a command line option, or None."""
        words = self._command_words
        for position, word in enumerate(words):
            name, equals, value = word.partition("=")
            if name in names:
                return value if equals else next(iter(words[position + 1 :]), "")
        return None


def _words(command: Any) -> str:
    if not isinstance(command, str):
        return " ".join(map(str, command or ()))
    # Compose splits a text like a shell's words, so a line ends nothing but within quotes.
    return _QUOTED_OR_BREAK.sub(lambda match: match[0] if match[0][0] in "\"'" else " ", command.rstrip())


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def env_files(data: Mapping[str, Any], folder: Path, env: Mapping[str, str]) -> list[Path]:
    """Return a service's env files."""
    definition = data.get("env_file") or ()
    entries = definition if isinstance(definition, list) else [definition]
    paths = [str(entry.get("path") or "") if isinstance(entry, dict) else str(entry) for entry in entries if entry]
    return [Path(os.path.normpath(folder / interpolated(path, env))) for path in paths]


#: The types of values by key; Compose refuses anything else.
_SHAPES: dict[str, tuple[type, ...]] = {
    "build": (str, dict),
    "command": (str, list),
    "configs": (list,),
    "depends_on": (dict, list),
    "entrypoint": (str, list),
    "env_file": (str, list),
    "environment": (dict, list),
    "extends": (str, dict),
    "image": (str,),
    "network_mode": (str,),
    "networks": (dict, list),
    "profiles": (list,),
    "tmpfs": (str, list),
    "volumes": (list,),
}


def well_formed(data: Any) -> dict[str, Any]:
    """Return a service's definition without values of types that Compose refuses."""
    definition = data if isinstance(data, dict) else {}
    kept: dict[str, Any] = {
        key: value for key, value in definition.items() if isinstance(value, _SHAPES.get(key, object))
    }
    networks = kept.get("networks")
    if isinstance(networks, list):
        kept["networks"] = [name for name in networks if isinstance(name, str)]
    return kept

"""Where a container's files come from: mounts, configs, and what its Dockerfile copies."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.layers import Layers, layers_of
from dagster_module_builder.adoption.model import FoundFile, Place
from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.dockerignore import path_in_context
from dagster_module_builder.compose.service import Service, innermost
from dagster_module_builder.compose.stack import Reader


@dataclass(frozen=True)
class Container:
    """A service's container, and the repository that its files come from.

    Attributes:
        service: The service.
        repository: The repository's root.
        place: Where the service is defined.
        configs: The project's configs, by name.
        read: Reads files of the repository.
    """

    service: Service
    repository: Path
    place: Place
    configs: Mapping[str, Any]
    read: Reader

    def path(self, text: str, folder: str | None = None) -> str | None:
        """Return the absolute path of a path in a command; None if the working directory is unknown."""
        expanded = self.expanded(text)
        base = self.expanded(folder) if folder else None
        start = posixpath.join(self.working_dir or "", base) if base else self.working_dir
        if not expanded.startswith("/") and not (start or "").startswith("/"):
            return None
        return posixpath.normpath(posixpath.join(start or "/", expanded))

    def expanded(self, text: str) -> str:
        """Return a text of a command with the container's variables."""
        whole = interpolated(text, self.service.env)
        if "$" not in text:
            return whole
        variables = {**self.variables, **{k: v for k, v in self.service.env.items() if k not in self.variables}}
        return interpolated(text.replace("$$", "$"), variables)

    @cached_property
    def layers(self) -> Layers | None:
        """What its Dockerfile says; None if there is none."""
        image = self.service.image_of
        return layers_of(image, self.service.target, self._build_arguments) if image else None

    @property
    def _build_arguments(self) -> dict[str, str]:
        build = self.service.data.get("build")
        arguments = build.get("args") if isinstance(build, dict) else None
        if isinstance(arguments, list):
            pairs = [str(entry).partition("=") for entry in arguments]
            return {name: interpolated(value, self.service.env) for name, equals, value in pairs if equals}
        entries = arguments.items() if isinstance(arguments, dict) else ()
        return {str(name): interpolated(str(value), self.service.env) for name, value in entries if value is not None}

    @cached_property
    def variables(self) -> dict[str, str]:
        """The container's variables, as far as the project says them."""
        built_in = self.layers.variables if self.layers else {}
        return {**built_in, **self.service.env_files, **self.service.environment}

    @cached_property
    def working_dir(self) -> str | None:
        """The container's working directory; None if only its base image says it."""
        if folder := self.service.data.get("working_dir"):
            return self.expanded(str(folder))
        return self.layers.working_dir if self.layers else None

    def file(self, container_path: str | None) -> FoundFile:
        """Return where a file of the container comes from."""
        if container_path is None:
            return FoundFile("missing", None)
        return self._config(container_path) or self._mounted(container_path) or self._copied(container_path)

    def _config(self, path: str) -> FoundFile | None:
        entries = self.service.data.get("configs")
        for entry in entries if isinstance(entries, list) else ():
            name = str(entry.get("source") if isinstance(entry, dict) else entry)
            target = entry.get("target") if isinstance(entry, dict) else None
            if posixpath.normpath(posixpath.join("/", str(target or name))) != path:
                continue
            config = self.configs.get(name)
            file = config.get("file") if isinstance(config, dict) else None
            if file:
                source = Path(os.path.normpath(self.service.folder / interpolated(str(file), self.service.env)))
                return FoundFile("config", path, self.inside(source), self.place)
            return FoundFile("inline", path, None, self.place)
        return None

    def _mounted(self, path: str) -> FoundFile | None:
        mount = innermost(self.service.mounts, path)
        if mount is None:
            return None
        source = mount.source_of(path)
        if source is None or not source.startswith("/"):
            # A volume gets the image's files when it is first used.
            copied = self._copied(path)
            return copied if copied.way != "missing" else FoundFile("missing", path, None, self.place)
        if self.read(Path(source)) is None and not Path(source).exists():
            return FoundFile("missing", path, None, self.place)
        return FoundFile("mounted", path, self.inside(Path(source)), self.place, mounted_folder=mount.target != path)

    def place_of_new_file(self, container_path: str) -> Path | None:
        """Return where a file would have to be in the repository to get to a path of the container, or None."""
        mount = innermost(self.service.mounts, container_path)
        if mount is not None:
            source = mount.source_of(container_path)
            candidates = [Path(source)] if source and source.startswith("/") and mount.target != container_path else []
        elif self.layers and self.service.context:
            sources = [source for source, _ in self.layers.sources(container_path) if source]
            candidates = [Path(os.path.normpath(self.service.context / source)) for source in sources]
        else:
            candidates = []
        return next((self.inside(path) for path in candidates if self._may_be_made(path, copied=mount is None)), None)

    def _may_be_made(self, path: Path, *, copied: bool) -> bool:
        if not path.parent.is_dir() or not path.is_relative_to(self.repository):
            return False
        context, dockerfile = self.service.context, self.service.dockerfile
        if not copied or context is None or dockerfile is None:
            return not copied
        return path_in_context(context, dockerfile, path, self.read) is not None

    def mounted_as(self, name: str) -> list[str]:
        """Return the container's paths of mounted files with a name."""
        paths = []
        for mount in self.service.mounts:
            if posixpath.basename(mount.target) == name:
                paths.append(mount.target)
            elif mount.source and mount.source.startswith("/") and (Path(mount.source) / name).is_file():
                paths.append(posixpath.join(mount.target, name))
        return list(dict.fromkeys(paths))

    def _copied(self, path: str) -> FoundFile:
        service = self.service
        if service.image_of is None or service.context is None or service.dockerfile is None:
            return FoundFile("missing", path)
        for source, line in self.layers.sources(path) if self.layers else ():
            place = Place(self.inside(service.dockerfile), line + 1)
            if source is None:
                return FoundFile("inline", path, None, place)
            file = Path(os.path.normpath(service.context / source))
            if self._is_copied(file, service.context, service.dockerfile):
                return FoundFile("copied", path, self.inside(file), place)
        return FoundFile("missing", path)

    def _is_copied(self, file: Path, context: Path, dockerfile: Path) -> bool:
        if self.read(file) is None and not file.is_file():
            return file.exists()
        return path_in_context(context, dockerfile, file, self.read) is not None

    def inside(self, path: Path) -> Path:
        """Return a path relative to the repository; an outside path stays absolute."""
        return path.relative_to(self.repository) if path.is_relative_to(self.repository) else path

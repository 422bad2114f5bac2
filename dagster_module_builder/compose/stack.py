"""The compose project as a whole: its services, and the engine's names of its volumes and networks.

It is read from any compose file and its Dockerfiles, and changes nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.image import read_image
from dagster_module_builder.compose.image_names import full_name
from dagster_module_builder.compose.merging import merged_services
from dagster_module_builder.compose.service import DEFAULT_NETWORK, Service, env_files, well_formed
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.shared_files.formats.yaml_text import parsed

#: Returns the content of a file, or None if it does not exist.
Reader = Callable[[Path], "bytes | None"]


@dataclass(frozen=True)
class Stack:
    """The compose project.

    Attributes:
        folder: The compose file's folder.
        data: Its values, without the modules' blocks.
        env: The variables that Compose interpolates.
        read: Reads the other files that it names.
        env_file: The file that ``env`` is from.
        shell: Further variables, of the process that runs Compose; ``env`` takes precedence.
    """

    folder: Path
    data: Mapping[str, Any]
    env: Mapping[str, str]
    read: Reader
    env_file: Path
    shell: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def project(self) -> str:
        """The project's name, with which the engine's names of volumes, networks and images begin."""
        name = interpolated(str(self.data.get("name") or ""), self.env) or self.env.get("COMPOSE_PROJECT_NAME")
        return name or re.sub(r"[^a-z0-9_-]", "", self.folder.name.lower()).lstrip("_-")

    def real_name(self, section: str, name: str) -> str:
        """Return the engine's name of a volume or a network."""
        entry = self._section(section).get(name)
        data = entry if isinstance(entry, dict) else {}
        external = data.get("external")
        explicit = data.get("name") or (external.get("name") if isinstance(external, dict) else None)
        if explicit:
            return interpolated(str(explicit), self.env)
        return name if external else f"{self.project}_{name}"

    def _section(self, name: str) -> Mapping[str, Any]:
        section = self.data.get(name)
        return section if isinstance(section, dict) else {}

    @cached_property
    def network_names(self) -> dict[str, str]:
        """The engine's name of every network, by its name in the compose file."""
        return {
            str(name): self.real_name("networks", str(name)) for name in [*self._section("networks"), DEFAULT_NETWORK]
        }

    @cached_property
    def volume_names(self) -> dict[str, str]:
        """The engine's name of every volume, by its name in the compose file."""
        return {str(name): self.real_name("volumes", str(name)) for name in self._section("volumes")}

    @cached_property
    def services(self) -> dict[str, Service]:
        """The services, by name."""
        resolved = {str(name): self._resolved(data, self.data) for name, data in self._section("services").items()}
        builds = self._builds(resolved.values())
        return {name: self._service(name, data, builds) for name, data in resolved.items()}

    def _resolved(self, data: Any, project: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
        """Return a service's definition with what it ``extends`` (https://docs.docker.com/reference/compose-file/services/#extends)."""
        own = well_formed(data)
        extended = own.pop("extends", None)
        if not extended or depth > 8:
            return own
        name = extended.get("service") if isinstance(extended, dict) else extended
        file = extended.get("file") if isinstance(extended, dict) else None
        source = self._load(str(file)) if file else project
        services = source.get("services")
        known = services if isinstance(services, dict) else {}
        base = self._resolved(known.get(str(name)), source, depth + 1)
        return merged_services(base, own)

    def _load(self, file: str) -> Mapping[str, Any]:
        try:
            data = parsed(self.read(self.folder / file) or b"")
        except yaml.YAMLError:
            return {}
        return data if isinstance(data, dict) else {}

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """The variables that its values may use."""
        return {**self.shell, **self.env}

    def _service(self, name: str, data: Mapping[str, Any], builds: Mapping[str, Any]) -> Service:
        # Another service may build the image that this one only names.
        build = data.get("build") or builds.get(self._image(data))
        options = build if isinstance(build, dict) else {"context": build} if build else None
        if options is None or options.get("dockerfile_inline"):
            return Service(
                name, data, self.folder, self.variables, real_volumes=self.volume_names,
                env_files=self._env_files(data), env_file=self.env_file,
            )  # fmt: skip
        context = interpolated(str(options.get("context") or "."), self.variables)
        folder = (
            None if "://" in context or context.startswith("git@") else Path(os.path.normpath(self.folder / context))
        )
        file = interpolated(str(options.get("dockerfile") or ""), self.variables) or "Dockerfile"
        dockerfile = None if folder is None else Path(os.path.normpath(folder / file))
        target = interpolated(str(options.get("target") or ""), self.variables) or None
        text = self.read(dockerfile) if dockerfile else None
        return Service(
            name, data, self.folder, self.variables, None if text is None else read_image(text), dockerfile, folder,
            target, self.volume_names, self._env_files(data), self.env_file,
        )  # fmt: skip

    def _builds(self, services: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the ``build`` of each image, from the first service that has one."""
        builds: dict[str, Any] = {}
        for service in services:
            if service.get("build") and service.get("image"):
                builds.setdefault(self._image(service), service["build"])
        return builds

    def _image(self, data: Mapping[str, Any]) -> str:
        name = data.get("image")
        return full_name(interpolated(str(name), self.variables)) if name else ""

    def _env_files(self, data: Mapping[str, Any]) -> dict[str, str]:
        variables: dict[str, str] = {}
        for path in env_files(data, self.folder, self.variables):
            variables |= self.env if path == self.env_file else env_file.values(self.read(path) or b"")
        return variables


def services_with_code(stack: Stack) -> tuple[list[str], list[str]]:
    """Return the services that load modules' code, and those that may."""
    if serving := [name for name, service in stack.services.items() if service.serves_modules]:
        # The webserver and the daemon ask them.
        return serving, []
    loading = [name for name, service in stack.services.items() if service.loads_code or service.seems_to_load_code]
    images = {_built(stack.services[name]) for name in loading}
    unclear = [
        name
        for name, service in stack.services.items()
        if name not in loading and not service.is_known and service.command and _built(service) in images
    ]
    has_daemon = any(re.search(r"daemon|\bdev\b", f"{name} {stack.services[name].command}") for name in loading)
    return loading, [] if has_daemon else unclear


def _built(service: Service) -> object:
    return full_name(service.image_name) if service.image_name else (service.dockerfile, service.target)

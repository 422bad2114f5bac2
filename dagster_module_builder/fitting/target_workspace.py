"""The workspace that a module is fitted into, and the findings meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml

from dagster_module_builder.claims.facts import load_lines
from dagster_module_builder.compose.service import Mount, Service, innermost
from dagster_module_builder.compose.stack import Stack
from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.shared_files.formats.dagster_yaml import Launcher
from dagster_module_builder.shared_files.formats.shared_file import Contribution

STORAGE_VARIABLE = "DAGSTER_STORAGE_DIR"

Contributions = Mapping[str, Sequence[Contribution]]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class TargetWorkspace:
    """The workspace that a module is fitted into.

    Attributes:
        root: The workspace's root.
        folder: The folder that paths in the Compose file that takes modules are relative to.
        stack: The compose project.
        code_services: The services that run the code of modules.
        launcher: The run launcher.
        paths: The shared files, by the names that the registry has for them.
        workspace_data: The values of the owner's lines in ``workspace.yaml``.
        instance_data: The values of the owner's lines in ``dagster.yaml``.
        servers: The folder of the Dockerfiles that are made for code servers.
    """

    root: Path
    folder: Path
    stack: Stack
    code_services: Sequence[str]
    launcher: Launcher
    paths: Mapping[str, Path]
    workspace_data: Any = None
    instance_data: Any = None
    servers: Path = Path()

    @cached_property
    def services(self) -> list[Service]:
        """The services that run the code of modules."""
        return [self.stack.services[name] for name in self.code_services]

    @property
    def served_apart(self) -> Service | None:
        """The service that runs the code of each module as another user; None if modules are not kept apart."""
        return next((service for service in self.services if service.serves_modules), None)

    @property
    def takes_own_servers(self) -> bool:
        """Whether the code server in a fragment of the template can run here: it has the volumes that this mounts."""
        return {"dagster_home", "dagster_storage"} <= self.stack.volume_names.keys()

    @property
    def has_workers(self) -> bool:
        """Whether runs go to Celery workers among the services that run code."""
        return "Celery" in self.launcher.kind and any("celery" in service.command for service in self.services)

    @property
    def in_containers(self) -> bool:
        """Whether each run has its own container."""
        return self.launcher.kind == dagster_yaml.DOCKER

    @cached_property
    def run_mounts(self) -> tuple[Mount, ...]:
        """The mounts of the containers of runs."""
        return tuple(Mount(source, target, mode != "ro") for source, target, mode in self.launcher.volumes)

    def once(self, work: Callable[[TargetWorkspace], _Result]) -> _Result:
        """Return a result that is the same for every module; it is computed only once."""
        if work not in self._results:
            self._results[work] = work(self)
        result: _Result = self._results[work]
        return result

    @cached_property
    def _results(self) -> dict[Callable[[TargetWorkspace], Any], Any]:
        return {}


@dataclass
class Findings:
    """The findings while a module is fitted.

    Attributes:
        reasons: Why it cannot be fitted.
        notes: Notes for the user.
        mounts: Additional mounts, by service.
        run_mounts: Additional mounts of the containers of runs.
        variables: Additional variables, by service.
        volumes: The lines that define additional volumes.
        better_apart: Why the module had better have its own code server, though it can do without.
    """

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mounts: dict[str, list[str]] = field(default_factory=dict)
    run_mounts: list[tuple[str, str]] = field(default_factory=list)
    variables: dict[str, list[str]] = field(default_factory=dict)
    volumes: list[bytes] = field(default_factory=list)
    better_apart: str = ""

    def mount(self, service: str, source: str, target: str) -> None:
        """Add a mount to a service."""
        self.mounts.setdefault(service, []).append(f"{source}:{target}")


def body_of(contributions: Iterable[Contribution]) -> bytes:
    """Return the lines of contributions."""
    return b"\n".join(
        line for contribution in contributions for line in contribution.mapping or contribution.sequence or ()
    )


def load(lines: Iterable[bytes] | None) -> Any:
    """Return the values of lines of YAML; None if they are not valid."""
    try:
        return load_lines(tuple(lines or ()))
    except yaml.YAMLError:
        # The code that reads the fragment's facts reports this with the fragment's name.
        return None


def refuse_read_only(findings: Findings, service: Service, path: str) -> None:
    """Add a reason if nothing can be mounted at a path of a service's container."""
    inside = innermost(service.mounts, path)
    if inside and not inside.writable:
        findings.reasons.append(
            f"{service.name} mounts {inside.target} read-only, so nothing can be mounted at {path} in it: "
            f"remove ':ro' from that mount"
        )

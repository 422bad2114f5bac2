"""What a module is fitted into, and what is found meanwhile."""

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

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Surroundings:
    """What a module is fitted into.

    Attributes:
        root: The workspace's root.
        stack: The compose project.
        code_services: The services that run the code of modules.
        launcher: What starts the runs.
        workspace_data: The owner's part of ``workspace.yaml``, as data.
    """

    root: Path
    stack: Stack
    code_services: Sequence[str]
    launcher: Launcher
    workspace_data: Any = None

    @cached_property
    def services(self) -> list[Service]:
        """The services that run the code of modules."""
        return [self.stack.services[name] for name in self.code_services]

    @property
    def in_containers(self) -> bool:
        """Whether each run has a container of its own."""
        return self.launcher.kind == dagster_yaml.DOCKER

    @cached_property
    def run_mounts(self) -> tuple[Mount, ...]:
        """What is mounted into the containers of runs."""
        return tuple(Mount(source, target, mode != "ro") for source, target, mode in self.launcher.volumes)

    def once(self, work: Callable[[Surroundings], _Found]) -> _Found:
        """Return what is found alike for every module, worked out for the first."""
        if work not in self._found:
            self._found[work] = work(self)
        found: _Found = self._found[work]
        return found

    @cached_property
    def _found(self) -> dict[Callable[[Surroundings], Any], Any]:
        return {}


@dataclass
class Findings:
    """What is found while a module is fitted.

    Attributes:
        reasons: Why it cannot be.
        notes: What to know when it is.
        mounts: What is mounted additionally, by service.
        run_mounts: What is mounted additionally into the containers of runs.
        variables: Which variables are passed additionally, by service.
        volumes: Which volumes are made additionally, with their definition's lines.
    """

    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    mounts: dict[str, list[str]] = field(default_factory=dict)
    run_mounts: list[tuple[str, str]] = field(default_factory=list)
    variables: dict[str, list[str]] = field(default_factory=dict)
    volumes: list[bytes] = field(default_factory=list)

    def mount(self, service: str, source: str, target: str) -> None:
        """Mount something into a service."""
        self.mounts.setdefault(service, []).append(f"{source}:{target}")


def body_of(contributions: Iterable[Contribution]) -> bytes:
    """Return the lines of contributions."""
    return b"\n".join(line for one in contributions for line in one.mapping or one.sequence or ())


def load(lines: Iterable[bytes] | None) -> Any:
    """Return what lines of YAML mean; None where they mean nothing."""
    try:
        return load_lines(tuple(lines or ()))
    except yaml.YAMLError:
        # Whoever reads the facts of the fragment says so, with its name.
        return None


def refuse_read_only(findings: Findings, service: Service, path: str) -> None:
    """Find a reason where nothing can be mounted at a path of a service's container."""
    inside = innermost(service.mounts, path)
    if inside and not inside.writable:
        findings.reasons.append(
            f"{service.name} mounts {inside.target} read-only, so nothing can be mounted at {path} in it: "
            f"take ':ro' away from that mount"
        )

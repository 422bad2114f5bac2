"""``dagster.yaml`` as the containers see it, and the launcher that it sets."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dagster_module_builder.adoption.locations import Containers
from dagster_module_builder.adoption.model import DagsterService, LauncherKind
from dagster_module_builder.shared_files.formats import dagster_yaml
from dagster_module_builder.shared_files.formats.yaml_text import parsed


@dataclass(frozen=True)
class Instance:
    """The instance of the services.

    Attributes:
        path: Its ``dagster.yaml``, relative to the repository; None if it has none here.
        launcher: Where runs go.
        class_name: The launcher's class.
    """

    path: Path | None = None
    launcher: LauncherKind = "default"
    class_name: str = dagster_yaml.LOCAL


def instance_of(containers: Containers, loading: Sequence[DagsterService]) -> Instance:
    """Return the instance that the daemon uses, or the first service that has one."""
    for service in sorted(loading, key=lambda one: "daemon" not in one.roles):
        container = containers.by_name[service.name]
        home = container.variables.get("DAGSTER_HOME")
        mounted = container.mounted_as(dagster_yaml.NAME)
        inside = posixpath.join(container.expanded(home), dagster_yaml.NAME) if home else "".join(mounted[:1])
        found = container.file(posixpath.normpath(inside)) if inside else None
        if found and found.path:
            return read_instance(containers.repository.read(containers.repository.root / found.path), found.path)
    return Instance()


def read_instance(text: bytes | None, path: Path) -> Instance:
    """Return what a ``dagster.yaml`` says of the launcher."""
    try:
        name = dagster_yaml.launcher(parsed(text or b""), {}).kind
    except yaml.YAMLError:
        return Instance(path)
    return Instance(path, kind_of(name), name)


def kind_of(class_name: str) -> LauncherKind:
    """Return the kind of a launcher's class: ``"CeleryK8sRunLauncher" -> "kubernetes"``."""
    if class_name == dagster_yaml.LOCAL:
        return "default"
    if "K8s" in class_name:
        return "kubernetes"
    if "Celery" in class_name:
        return "celery"
    return "docker" if class_name == dagster_yaml.DOCKER else "other"

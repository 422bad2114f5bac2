"""Look at everything; whatever cannot be looked at is a problem, and the rest goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.doctor import container_checks, deployment_checks, machine_checks, workspace_checks
from dagster_module_builder.doctor.diagnosis import Diagnosis, problem

Look = Callable[[Path], Iterator[Diagnosis]]

OF_MACHINE: Sequence[Look] = (
    machine_checks.program,
    machine_checks.programs,
    machine_checks.folders,
    machine_checks.disk,
)
OF_WORKSPACE: Sequence[Look] = (
    workspace_checks.files, workspace_checks.modules, workspace_checks.environment, container_checks.engine,
    container_checks.containers, container_checks.ports, deployment_checks.deployments,
)  # fmt: skip


def examine(root: Path, reason: str) -> Iterator[Diagnosis]:
    """Yield what is in order and what is not, as soon as it is known.

    Args:
        root: The workspace's root.
        reason: Why it is this one.
    """
    for look in OF_MACHINE:
        yield from _seen(look, root)
    yield from workspace_checks.chosen(root, reason)
    for look in OF_WORKSPACE if layout_of(root).exists else ():
        yield from _seen(look, root)


def _seen(look: Look, root: Path) -> Iterator[Diagnosis]:
    try:
        yield from look(root)
    except (BuilderError, OSError) as error:
        yield problem(look.__name__, str(error), getattr(error, "way_out", ""))

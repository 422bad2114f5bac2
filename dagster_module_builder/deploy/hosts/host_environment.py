"""The environment of a release on a host: one for each set of requirements and interpreter. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.targets import Target
from dagster_module_builder.deploy.strategies.base import load_strategy


def interpreter(target: Target, chosen: Mapping[str, object]) -> str:
    """Return the interpreter for environments, or the host's own Dagster's.

    Args:
        target: The host.
        chosen: ``environment`` of ``deployment.yaml``.
    """
    return target.host.environment_python or str(chosen["python"])


def interpreters(target: Target) -> set[str]:
    """Return the interpreters for environments on the host itself; empty if Dagster runs in containers."""
    if target.first.kind == "compose":
        return set()
    own = [deployment for deployment in target.deployments if deployment.environment["kind"] == "venv"]
    return {
        interpreter(target, deployment.environment)
        for deployment in own
        if not load_strategy(deployment.strategy).serves
    }


def environment(
    target: Target, release: Release, seen: Mapping[str, str | None], environments: Mapping[str, str | None]
) -> str | None:
    """Return the environment of a release on a host; None if it runs in the host's own, or in an image.

    A host with another interpreter gets another environment. Earlier versions named environments by the interpreter's
    name in ``deployment.yaml``; those with the same interpreter stay in use.

    Args:
        target: The host.
        release: The release.
        seen: Each interpreter by its name; None for one that the host lacks.
        environments: The module's environments there, with the interpreter of each.

    Raises:
        RefusedError: The host does not have the interpreter.
    """
    named = interpreter(target, release.deployment.environment)
    before = release.environment(str(release.deployment.environment["python"]))
    if before is None or named not in seen:
        return before and release.environment(named)
    identity = seen[named]
    if identity is None:
        raise RefusedError(
            f"{target}: {named} is not installed on the host. Install it, or set 'python:' below 'environment:' in "
            f"deployment.yaml to an installed interpreter."
        )
    return before if environments.get(before) == identity else release.environment(identity)

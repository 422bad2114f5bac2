"""Which environment a release has on a host: one for each set of requirements and interpreter. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.targets import Target
from dagster_module_builder.deploy.strategies.base import load_strategy


def interpreter(target: Target, chosen: Mapping[str, object]) -> str:
    """Return the interpreter that environments are made with, or that the host's Dagster itself has.

    Args:
        target: The host.
        chosen: ``environment`` of ``deployment.yaml``.
    """
    return target.host.environment_python or str(chosen["python"])


def interpreters(target: Target) -> set[str]:
    """Return the interpreters that environments are made with on the host itself."""
    if target.first.kind == "compose":
        return set()
    own = [one for one in target.deployments if one.environment["kind"] == "venv"]
    return {interpreter(target, one.environment) for one in own if not load_strategy(one.strategy).serves}


def environment(
    target: Target, release: Release, seen: Mapping[str, str | None], environments: Mapping[str, str | None]
) -> str | None:
    """Return the environment of a release on a host; None where it runs in the host's, or in its image.

    A host with another interpreter gets another environment. Earlier versions named environments after what
    ``deployment.yaml`` calls the interpreter; those that were made with the present one stay in use.

    Args:
        target: The host.
        release: The release.
        seen: What each interpreter is there; None for one that is not.
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
            f"{target}: {named} is not installed on the host. Install it there, or set 'python:' below 'environment:' "
            f"in deployment.yaml to one that is."
        )
    return before if environments.get(before) == identity else release.environment(identity)

"""``care.prune``: take what is old out of the storage of the workspace's Dagster; what Dagster still reads stays."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError, ToolError, UsageError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.care import prune_program
from dagster_module_builder.compose import docker
from dagster_module_builder.compose.compose_project import project_of
from dagster_module_builder.native.native_environment import process_environment, process_folder, shared_environment
from dagster_module_builder.native.native_folder import HOME
from dagster_module_builder.programs import compose_command, engine, outside_programs
from dagster_module_builder.workspaces.workspace import Workspace

logger = logging.getLogger(__name__)

#: Seconds of each unit that an age is given in.
_UNITS = {"h": 3600, "d": 86400, "w": 604800}
_LAST_LINES = 5
_AGE = re.compile(r"(\d+)([hdw])")

#: Gets how many of how many runs were looked at.
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Pruned:
    """What was taken out of an instance's storage, or would be.

    Attributes:
        instance: ``native`` for the one of ``workspace.dev``, ``containers`` for that of ``workspace.up``.
        runs: Runs that were removed.
        runs_kept: Old runs of which only the latest events of their assets and checks were kept.
        events: Events and lines of their logs.
        checks: Results of checks.
        ticks: Ticks of schedules and sensors.
        evaluations: Evaluations of automation conditions.
        compute_logs: Runs whose output was removed.
        bytes_before: The size of the databases before.
        bytes_after: Their size after.
        problems: What could not be removed, in words.
    """

    instance: str
    runs: int
    runs_kept: int
    events: int
    checks: int
    ticks: int
    evaluations: int
    compute_logs: int
    bytes_before: int
    bytes_after: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Instance:
    """A Dagster instance of a workspace, and how a program is run where it is.

    Attributes:
        name: As in ``Pruned``.
        python: The command of a Python that has Dagster.
        folder: The working directory, where it matters.
        environ: All variables, where they matter.
        home: The instance's folder on this machine; None in a container, which knows it.
    """

    name: str
    python: Sequence[str]
    folder: Path | None = None
    environ: Mapping[str, str] | None = None
    home: str | None = None


def seconds_of(age: str) -> int:
    """Return an age (``90d``, ``12h``, ``2w``) in seconds.

    Raises:
        UsageError: It is none.
    """
    match = _AGE.fullmatch(age.strip())
    if not match:
        raise UsageError(f"'{age}' is not an age. Pass a number of hours, days or weeks: 12h, 90d or 2w.")
    return int(match[1]) * _UNITS[match[2]]


def instances(workspace: Workspace) -> Iterator[Instance]:
    """Give the workspace's instances that can be asked: the native one, and that of containers which run."""
    root = workspace.root
    if (root / HOME / "history").is_dir():
        python = str(shared_environment(root))
        yield Instance("native", [python], process_folder(root), process_environment(root), str(root / HOME))
    services = workspace.stack.services
    # Where modules are kept apart, only the service that does so may remove what they wrote.
    serving = next((name for name, service in services.items() if service.serves_modules), None)
    daemon = serving or next((name for name, service in services.items() if service.is_daemon), None)
    if daemon and daemon in _running(root):
        project = project_of(root)
        inside = [*compose_command.program(), *project.arguments(), "exec", "-T", daemon, "python"]
        yield Instance("containers", inside, project.folder, project.environment)


def _running(root: Path) -> set[str]:
    if not (layout_of(root).has_compose and compose_command.is_installed()):
        return set()
    try:
        return {service.name for service in docker.services(root) if service.state == "running"}
    except engine.NoEngineError:
        return set()
    except ToolError as error:
        # The native instance is pruned nevertheless.
        logger.warning("Docker was not asked for containers. %s", error)
        return set()


def prune(workspace: Workspace, older_than: int, progress: Progress, *, dry_run: bool) -> list[Pruned]:
    """Take what is older out of every instance of the workspace.

    Args:
        workspace: The workspace.
        older_than: Seconds: what ended before is old.
        progress: Is told how many runs were looked at.
        dry_run: Count only.

    Raises:
        RefusedError: There is no instance.
        ToolError: Dagster's storage could not be read or written. What was removed until then stays removed, and the
            next call goes on.
    """
    request = {"before": time.time() - older_than, "dry_run": dry_run}
    pruned = [_pruned(instance, request, progress) for instance in instances(workspace)]
    if not pruned:
        raise RefusedError(
            "There is nothing to prune: no assets were materialized here without Docker, and no containers run. "
            "Start them with 'workspace.up'."
        )
    return pruned


def _pruned(instance: Instance, request: Mapping[str, Any], progress: Progress) -> Pruned:
    given = json.dumps({**request, "home": instance.home})
    program = Path(prune_program.__file__).read_text("utf-8")
    results: list[dict[str, Any]] = []

    def take(line: str) -> bool:
        told = json.loads(line)
        if "progress" in told:
            progress(*told["progress"])
        else:
            results.append(told["result"])
        return True

    words: list[str] = []

    def said(line: str) -> bool:
        words.append(line)
        return True

    try:
        outside_programs.relay(
            [*instance.python, "-c", program, given],
            take,
            said,
            named=f"Pruning the {instance.name} instance",
            folder=instance.folder,
            environ=instance.environ,
        )
    except ToolError as error:
        raise ToolError("\n".join([str(error), *words[-_LAST_LINES:]])) from None
    if not results:
        raise ToolError(f"Pruning the {instance.name} instance ended without a result.")
    return Pruned(instance=instance.name, **{**results[0], "problems": tuple(results[0]["problems"])})

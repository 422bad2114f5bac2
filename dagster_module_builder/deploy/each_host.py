"""Work on all hosts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.programs.last_lines import heard_by

#: The most hosts to work on at once.
AT_ONCE = 32


def in_parallel(runs: Sequence[HostRun], work: Callable[[HostRun], Any]) -> list[Any]:
    """Do something on all hosts at once; return the results when all are done."""
    if len(runs) < 2:
        return [work(run) for run in runs]
    pool = ThreadPoolExecutor(min(len(runs), AT_ONCE))
    try:
        return list(pool.map(work, runs))
    except BaseException:
        # Closing the channels ends the threads that still wait for an answer.
        for run in runs:
            run.close()
        raise
    finally:
        pool.shutdown(wait=True)


def on_hosts(
    deployments: Sequence[Deployment],
    hosts: Sequence[str],
    work: Callable[[HostRun], dict[str, Any]],
    progress: Progress = lambda *_: None,
) -> list[dict[str, Any]]:
    """Do something on all hosts of deployments at once; return each host's result, or its ``error``.

    Args:
        deployments: The deployments.
        hosts: Only these hosts; all of them if empty.
        work: What to do on a host; it returns what to add to its result.
        progress: Told which step each host is in.
    """

    def result(run: HostRun) -> dict[str, Any]:
        try:
            with heard_by(run.report):
                return {"host": str(run.target), **work(run)}
        except BuilderError as error:
            return {"host": str(run.target), "error": str(error)}
        finally:
            run.close()

    return list(in_parallel([HostRun(target, progress) for target in targets_of(deployments, hosts)], result))

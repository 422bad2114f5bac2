"""Deploy to a few hosts first, and to the others if these are well: a canary."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy.deploy import Deploying, Options, deploy, deploy_to
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import Target, targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.rollout import HostOutcome


def deploy_in_turns(
    deployments: Sequence[Deployment], options: Options, progress: Progress = lambda *_: None
) -> list[HostOutcome]:
    """Deploy to the first hosts, then to the others; without first hosts, to all of them at once.

    If the first hosts have problems, then or after the wait, the others are not contacted, and say so.

    Raises:
        DeployError: A host failed; all hosts of its turn have the old release.
    """
    if not options.first:
        return deploy(deployments, options, progress)
    first, rest = _turns(targets_of(deployments, options.hosts), options)
    made: dict[str, Release] = {}
    outcomes = deploy_to(first, deployments, options, progress, made)
    if problem := _problem_of_first(first, outcomes, made, options, progress):
        left = (HostOutcome(str(target), problems=(problem,), stands=False) for target in rest)
        return [*outcomes, *left]
    try:
        return [*outcomes, *deploy_to(rest, deployments, options, progress, made)]
    except BuilderError as error:
        error.args = (f"{error}\nThe release stands on {', '.join(map(str, first))}, which went first.",)
        raise


def _turns(targets: Sequence[Target], options: Options) -> tuple[list[Target], list[Target]]:
    """Return the hosts that go first, and the rest.

    Raises:
        RefusedError: A name is no host, or all of them, or none of those chosen, would go first.
    """
    first = [target for target in targets if any(map(target.host.is_named, options.first))]
    rest = [target for target in targets if target not in first]
    known = ", ".join(map(str, targets))
    for name in options.first:
        if not any(target.host.is_named(name) for target in targets):
            raise RefusedError(f"--first {name}: there is no such host or group among {known}.")
    if not rest:
        raise RefusedError(f"--first: no other host would be left. The hosts: {known}.")
    return first, rest


def _problem_of_first(
    first: Sequence[Target],
    outcomes: Sequence[HostOutcome],
    made: Mapping[str, Release],
    options: Options,
    progress: Progress,
) -> str | None:
    """Return why the rest has to stay as it is; None if the first hosts are well, also after the wait."""
    names = ", ".join(map(str, first))
    left = "This host was left as it was."
    if any(outcome.problems or not outcome.stands for outcome in outcomes):
        return f"{left} The release has problems on {names}, which went first."
    until = time.monotonic() + options.first_wait
    while (seconds := until - time.monotonic()) > 0:
        progress("here", f"waiting {seconds:.0f} s")
        time.sleep(min(5.0, seconds))
    for target in first:
        run = HostRun(target, progress)
        try:
            run.inspect(target.modules)
            if not all(Deploying.is_done(run, made[module]) for module in target.modules):
                return f"{left} {target}, which went first, does not have the release loaded any more."
        except BuilderError as error:
            return f"{left} {error}"
        finally:
            run.close()
    return None

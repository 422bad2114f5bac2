"""Hooks of deployments, as they run: on one host, or here; what they said goes into the log of every host."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.hosts.host_session import HostSession
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.hooks import FOR_EACH_HOST, Hook, content_of, hooks_at, path_of
from dagster_module_builder.disclosure.messages import harmless_text
from dagster_module_builder.programs import own_group
from dagster_module_builder.programs.outside_programs import ended, without_active_environment
from dagster_module_builder.shared_files.formats import env_file

#: Characters of a hook's output that the log keeps, and lines that a message quotes.
LOGGED, QUOTED = 8000, 15
#: Why a change failed, where the host is alone with that.
_GONE = "The connection was lost, or the command was interrupted."


class HookError(BuilderError):
    """A hook failed."""


@dataclass(frozen=True)
class Facts:
    """What a hook is told of the change that it is part of.

    Attributes:
        action: ``deploy`` or ``rollback``.
        deployment: The deployment.
        release: The release that comes; empty if it is not known yet.
        previous: The current one; empty if there is none.
        commit: The commit of the release, where it has one.
        env: The settings of the hosts, which hooks on hosts have as variables.
        python: The release's interpreter, if Dagster runs it on the host itself.
        failure: Why the change failed, for ``on_failure``.
    """

    action: str
    deployment: Deployment
    release: str = ""
    previous: str = ""
    commit: str = ""
    env: bytes = field(default=b"", repr=False)
    python: str = ""
    failure: str = ""

    def variables(self, point: str, hosts: Sequence[str], base: str) -> dict[str, str]:
        """Return them as variables.

        Args:
            point: The hook's point.
            hosts: The hosts that the hook is about.
            base: The base path there.
        """
        return {
            "DEPLOY_HOOK": point,
            "DEPLOY_ACTION": self.action,
            "DEPLOY_DEPLOYMENT": self.deployment.name,
            "DEPLOY_MODULE": self.deployment.names.name,
            "DEPLOY_RELEASE": self.release,
            "DEPLOY_PREVIOUS_RELEASE": self.previous,
            "DEPLOY_COMMIT": self.commit,
            "DEPLOY_HOST": " ".join(hosts),
            "DEPLOY_BASE_PATH": base,
            **({"DEPLOY_FAILURE": self.failure} if self.failure else {}),
        }


def run_on_host(run: HostSession, facts: Facts, point: str) -> None:
    """Run the hooks of a point that are about one host, in their order.

    Raises:
        HookError: One failed that stops the change.
    """
    for hook in hooks_at(facts.deployment, point):
        if hook.where == "hosts":
            _note(run, facts, hook, str(run.target), functools.partial(_asked, run, facts, hook))
        elif point in FOR_EACH_HOST:
            variables = facts.variables(point, [str(run.target)], run.base)
            work = _local(facts, hook, variables, run.report, lambda: run.conversation.is_closed)
            _note(run, facts, hook, "here", work)


def leave_on_host(run: HostSession, facts: Facts) -> None:
    """Leave the hooks for a failure with a host, which runs them by itself if this client is gone before the end.

    The host's answers are awaited with the next one, so that this takes no round trip.
    """
    told = replace(facts, failure=_GONE)
    hooks = [hook for hook in hooks_at(facts.deployment, "on_failure") if hook.where == "hosts"]
    run.conversation.post(
        ("leave hook", {"name": harmless_text(hook.name), "where": str(run.target), **_request(run, told, hook)})
        for hook in hooks
    )


def run_here(
    runs: Sequence[HostSession],
    facts: Facts,
    point: str,
    progress: Callable[[str, str], None],
    *,
    within: float | None = None,
) -> list[str]:
    """Run the hooks of a point that run once, on this machine; every host's log gets what they say.

    Args:
        runs: The hosts.
        facts: What the hooks are told.
        point: The point.
        progress: Told the step.
        within: Seconds that all of them may take; None for their own limits.

    Returns:
        What failed without stopping the change.

    Raises:
        HookError: One failed that stops the change.
    """
    until = None if within is None else time.monotonic() + within
    problems: list[str] = []
    hosts = [str(run.target) for run in runs]
    variables = facts.variables(point, hosts, str(facts.deployment.data["base_path"]))
    for hook in hooks_at(facts.deployment, point):
        if hook.where != "here" or point in FOR_EACH_HOST:
            continue
        progress("here", point.replace("_", " "))
        started = time.monotonic()
        limit = hook.limit if until is None else max(0, min(hook.limit, round(until - started)))
        work = _local(facts, replace(hook, limit=limit), variables, lambda line: progress("here", line), lambda: False)
        entry = _entry(hook, "here", started, *work())
        for run in runs:
            run.hook_log.setdefault(facts.deployment.names.name, []).append(entry)
        _judge(hook, entry, problems)
    for run in runs[:1]:
        run.problems += problems
    return problems


def log(run: HostSession) -> None:
    """Have a host's log keep what the hooks said since the last time."""
    while run.hook_log:
        module = next(iter(run.hook_log))
        run.conversation.ask("log hooks", module=module, hooks=run.hook_log.pop(module))


def log_quietly(run: HostSession) -> None:
    """Do the same where the host may be gone."""
    with contextlib.suppress(BuilderError):
        log(run)


def _note(run: HostSession, facts: Facts, hook: Hook, where: str, work: Callable[[], tuple[int, str]]) -> None:
    """Run one hook, and note what it said."""
    run.report(hook.point.replace("_", " "))
    started = time.monotonic()
    entry = _entry(hook, where, started, *work())
    run.hook_log.setdefault(facts.deployment.names.name, []).append(entry)
    log(run)
    _judge(hook, entry, run.problems)


def _asked(run: HostSession, facts: Facts, hook: Hook) -> tuple[int, str]:
    """Run a hook on the host; return its exit status and its output."""
    answer = run.conversation.ask("hook", **_request(run, facts, hook))
    return answer["code"], answer["said"]


def _request(run: HostSession, facts: Facts, hook: Hook) -> dict[str, Any]:
    """Return the values of the request ``hook``."""
    program = {"attached": content_of(facts.deployment, hook)} if hook.file else {"command": hook.command}
    return {
        "module": facts.deployment.names.name,
        "identity": facts.release,
        "limit": hook.limit,
        "environ": {
            **env_file.values(facts.env),
            **facts.variables(hook.point, [str(run.target)], run.base),
            "DEPLOY_PYTHON": facts.python,
        },
        **program,
    }


def _local(
    facts: Facts, hook: Hook, variables: dict[str, str], report: Callable[[str], None], gone: Callable[[], bool]
) -> Callable[[], tuple[int, str]]:
    """Return what runs a hook on this machine."""

    def work() -> tuple[int, str]:
        # Read first: a file that leads out of the module, or cannot be run, is refused.
        content = content_of(facts.deployment, hook) if hook.file else None
        command = ["/bin/sh", "-c", str(hook.command)] if content is None else [path_of(facts.deployment, hook)]
        environ = {**without_active_environment(), **variables}
        try:
            answer = own_group.run(command, facts.deployment.folder, environ, hook.limit, report, gone=gone)
        except own_group.LateError as late:
            return -9, f"{late.said.decode('utf-8', 'replace').rstrip()}\n(ended after {hook.limit} seconds)".lstrip()
        return answer.status, (answer.out + answer.errors).decode("utf-8", "replace")

    return work


def _entry(hook: Hook, where: str, started: float, code: int, said: str) -> dict[str, Any]:
    """Return what the log keeps of a hook; secrets are removed from its output."""
    return {
        "hook": hook.point,
        "name": harmless_text(hook.name),
        "where": where,
        "code": code,
        "seconds": round(time.monotonic() - started, 1),
        "said": harmless_text(said.strip())[-LOGGED:],
    }


def _judge(hook: Hook, entry: dict[str, Any], problems: list[str]) -> None:
    """Do what a hook's failure calls for."""
    if not entry["code"]:
        return
    lines = entry["said"].splitlines()[-QUOTED:]
    how = ended(entry["code"])
    text = "\n".join([f"The hook {entry['name']} ({hook.point}, {entry['where']}) failed: {how}", *lines])
    if hook.rolls_back:
        raise HookError(text)
    problems.append(f"{text}\nThe change stands.")

"""What all tasks of ``deploy`` share: the arguments that choose deployments and hosts, and the reports."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import INCOMPLETE, ROOT_HELP, command, root_of

if TYPE_CHECKING:
    from dagster_module_builder.deploy.model.deployment import Deployment
    from dagster_module_builder.deploy.notifications import Notifications
    from dagster_module_builder.deploy.rollout import HostOutcome

WAIT_HELP = "Seconds to wait for another deployment to end (default: 0)."
FORCE_HELP = "Discard manual edits inside managed blocks on the host."
_SHARED = {
    "name": "The deployment's name: its folder in the modules' deploy/.",
    "module": (
        "Only this module, by its name or the path of its folder; may be given several times (default: the module in "
        "the current folder, if that is outside a workspace, else every module that has the deployment)."
    ),
    "host": "Only this host, or the hosts of this group; may be given several times (default: all of them).",
    "root": ROOT_HELP,
}


@dataclass(frozen=True)
class Chosen:
    """The deployments and hosts that were chosen on the command line."""

    name: str
    modules: Sequence[str]
    hosts: Sequence[str]
    root: str | None

    @functools.cached_property
    def deployments(self) -> list[Deployment]:
        """The deployments of that name: of the modules named, of the one around the current folder, or of all."""
        # Loading YAML takes time, which other tasks need not wait for.
        from dagster_module_builder.deploy.model.deployment import find, standing_in

        root = root_of(self.root)
        # A workspace or module that was named counts, whatever the current folder is.
        is_open = not (self.modules or self.root)
        standing = standing_in(Path.cwd(), root, self.name) if is_open else None
        return find(root, self.name, [str(standing)] if standing else self.modules)


def deployment_task(
    name: str,
    help: Mapping[str, str] | None = None,  # noqa: A002 - Invoke's own word
    iterable: Sequence[str] = (),
    positional: Sequence[str] = ("name",),
) -> Callable[[Callable[..., None]], Task[Any]]:
    """Make a task of ``deploy``: its body gets what was chosen, and its own flags.

    Args:
        name: The task's name with its collection's.
        help: The help of the flags that only this task has.
        iterable: Its own flags that may be given several times.
        positional: The arguments without a flag, in their order.
    """

    def decorate(body: Callable[..., None]) -> Task[Any]:
        def run(
            _context: Context,
            name: str,
            module: Sequence[str] | None = None,
            host: Sequence[str] | None = None,
            root: str | None = None,
            **own: Any,
        ) -> None:
            hosts = [*(host or ()), *((own.pop("limit", None) or ()) if has_limit else ())]
            body(Chosen(name, module or (), hosts, root), **own)

        # Invoke makes the flags from the signature.
        shared = list(inspect.signature(run).parameters.values())[:-1]
        added = list(inspect.signature(body).parameters.values())[1:]
        # A task may have another use for the word.
        has_limit = all(parameter.name != "limit" for parameter in added)
        alias = ["limit"] if has_limit else []
        shared += [inspect.Parameter(each, shared[-1].kind, default=None) for each in alias]
        run.__signature__ = inspect.Signature([*shared, *added])  # type: ignore[attr-defined]
        run.__doc__ = body.__doc__
        # No short flags: -h is for help everywhere, not for --host.
        repeated = ["module", "host", *alias, *iterable]
        options: dict[str, Any] = {"iterable": repeated, "positional": positional, "auto_shortflags": False}
        texts = {**_SHARED, **dict.fromkeys(alias, "The same as --host."), **(help or {})}
        return command(name, help=texts, **options)(run)

    return decorate


def agree_to_hooks(chosen: Chosen, *, trust: bool, only_settings: bool = False) -> None:
    """Return if what the deployments bring may run on this machine; ask once for each module that is not trusted yet.

    Args:
        chosen: The deployments.
        trust: Whether ``--trust`` was passed.
        only_settings: Only the commands that fetch settings will run.

    Raises:
        RefusedError: The answer is no, or there is no terminal.
    """
    from dagster_module_builder.commands.trusting import agree_to_run
    from dagster_module_builder.deploy.model.hooks import runs_here

    for deployment in chosen.deployments:
        if deployment.fetches or (not only_settings and runs_here(deployment)):
            agree_to_run(root_of(chosen.root), deployment.module, trust=trust)


def is_compared(chosen: Chosen) -> bool:
    """Tell whether anyone hears which definitions change, which is asked of the hosts for them alone."""
    from dagster_module_builder.deploy.job_summary import has_page
    from dagster_module_builder.deploy.notifications import receivers_of

    receivers = [each for deployment in chosen.deployments for each in receivers_of(deployment)]
    return console.is_for_programs() or has_page(os.environ) or any(each.hears_of_changes for each in receivers)


@contextlib.contextmanager
def notified(chosen: Chosen, action: str) -> Iterator[Notifications]:
    """Tell the receivers of the deployments that a change begins, and that it failed if the block fails.

    Args:
        chosen: The deployments and hosts.
        action: ``deploy`` or ``rollback``.
    """
    from dagster_module_builder.deploy.notifications import Notifications

    hosts = [name for deployment in chosen.deployments for name in deployment.host_names]
    notifications = Notifications(chosen.deployments, action, chosen.hosts or list(dict.fromkeys(hosts)), console.alert)
    notifications.begin()
    try:
        yield notifications
    except BuilderError as error:
        notifications.fail(str(error))
        raise
    except KeyboardInterrupt as interrupt:
        # What failed of the hooks for a failure.
        for problem in interrupt.args:
            console.alert(str(problem))
        notifications.fail("It was interrupted.")
        raise


def report(outcomes: Sequence[HostOutcome], done: str) -> None:
    """Print the result of each host, and exit with 3 if there are problems for the user."""
    console.give([vars(outcome) for outcome in outcomes])
    _say_outcomes(outcomes, done)
    if any(outcome.problems for outcome in outcomes):
        raise Exit(code=INCOMPLETE)


def _say_outcomes(outcomes: Sequence[HostOutcome], done: str) -> None:
    for outcome in outcomes:
        what = ", ".join(f"{module} {release}" for module, release in outcome.releases.items())
        said = f"{done} {what}".rstrip() if outcome.stands else "NOT changed"
        console.say(f"{outcome.host}: {said}")
        if outcome.pruned:
            console.say(f"  removed {', '.join(outcome.pruned)}")
        if outcome.seconds:
            console.say("  " + ", ".join(f"{step} {value:.1f} s" for step, value in outcome.seconds.items()))
        for note in outcome.notes:
            console.inform(f"  {note}")
        for problem in outcome.problems:
            console.alert(f"  {problem}")


def show(results: Sequence[Mapping[str, Any]], say: Callable[[Mapping[str, Any]], None]) -> None:
    """Print the result of each host, and exit with 1 if a host failed."""
    console.give(results)
    for result in results:
        if "error" in result:
            console.alert(str(result["error"]))
        else:
            say(result)
    exit_on_errors(results)


def exit_on_errors(results: Sequence[Mapping[str, Any]]) -> None:
    """Exit with 1 if a host failed."""
    if any("error" in result for result in results):
        raise Exit(code=1)

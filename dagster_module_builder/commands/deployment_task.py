"""What every task of ``deploy`` shares: which deployments, on which hosts, and how it reports."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task

from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import INCOMPLETE, ROOT_HELP, command, root_of

if TYPE_CHECKING:
    from dagster_module_builder.deploy.model.deployment import Deployment
    from dagster_module_builder.deploy.rollout import HostOutcome

WAIT_HELP = "Seconds to wait for another deployment to end (default: 0)."
FORCE_HELP = "Discard manual edits inside managed blocks on the host."

_SHARED = {
    "name": "The deployment's name: the folder below the modules' deploy/.",
    "module": (
        "Only this module, by its name or the path of its folder; may be given several times (default: the module that "
        "you stand in, outside of a workspace, else every module that has the deployment)."
    ),
    "host": "Only this host; may be given several times (default: all of them).",
    "root": ROOT_HELP,
}


@dataclass(frozen=True)
class Chosen:
    """The deployments, and the hosts, that a person typed."""

    name: str
    modules: Sequence[str]
    hosts: Sequence[str]
    root: str | None

    @functools.cached_property
    def deployments(self) -> list[Deployment]:
        """The deployments of that name: of the modules named, of the one around the current folder, or of all."""
        # Its YAML is not waited for by others.
        from dagster_module_builder.deploy.model.deployment import find, standing_in

        root = root_of(self.root)
        # Whoever names a workspace or a module means that, wherever they stand.
        is_open = not (self.modules or self.root)
        standing = standing_in(Path.cwd(), root, self.name) if is_open else None
        return find(root, self.name, [str(standing)] if standing else self.modules)


def deployment_task(
    name: str,
    help: Mapping[str, str] | None = None,  # noqa: A002 - Invoke's own word
    iterable: Sequence[str] = (),
    positional: Sequence[str] = ("name",),
) -> Callable[[Callable[..., None]], Task[Any]]:
    """Make a task of ``deploy``: its body is given what was chosen, and the flags of its own.

    Args:
        name: The task's name with its collection's.
        help: What each flag of its own means.
        iterable: The flags of its own that may be given several times.
        positional: The arguments that are given without a flag, in their order.
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
            body(Chosen(name, module or (), host or (), root), **own)

        # Invoke makes its flags from the signature.
        shared = list(inspect.signature(run).parameters.values())[:-1]
        added = list(inspect.signature(body).parameters.values())[1:]
        run.__signature__ = inspect.Signature([*shared, *added])  # type: ignore[attr-defined]
        run.__doc__ = body.__doc__
        # No short flags: -h is for help everywhere, not for --host.
        options: dict[str, Any] = {
            "iterable": ["module", "host", *iterable], "positional": list(positional), "auto_shortflags": False,
        }  # fmt: skip
        return command(name, help={**_SHARED, **(help or {})}, **options)(run)

    return decorate


def report(outcomes: Sequence[HostOutcome], done: str, *, as_json: bool = False) -> None:
    """Say what was done on each host, and end with 3 where a person has to look at something."""
    if as_json:
        console.say_json([vars(one) for one in outcomes])
    else:
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
        for note in (*outcome.notes, *outcome.problems):
            console.tell(f"  {note}")


def show(found: Sequence[Mapping[str, Any]], say: Callable[[Mapping[str, Any]], None], *, as_json: bool) -> None:
    """Show what was found on each host, as JSON or for people, and end with 1 where one could not be looked at."""
    if as_json:
        console.say_json(found)
    else:
        for one in found:
            if "error" in one:
                console.tell(str(one["error"]))
            else:
                say(one)
    exit_on_errors(found)


def exit_on_errors(found: Sequence[Mapping[str, Any]]) -> None:
    """End with 1 where a host could not be looked at."""
    if any("error" in one for one in found):
        raise Exit(code=1)

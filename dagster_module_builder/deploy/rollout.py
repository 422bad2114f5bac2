"""A change on all hosts at once: either every host gets it, or every host is rolled back."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NoReturn

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.each_host import in_parallel
from dagster_module_builder.deploy.hosts import host_hooks
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_hooks import Facts
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import Key, Target
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.hooks import AFTER_THE_SWITCH, hooks_at
from dagster_module_builder.disclosure.messages import harmless_text
from dagster_module_builder.modules.loading import compared
from dagster_module_builder.programs.last_lines import heard_by

#: Characters of a reason that a host's log keeps.
_REASON = 1 << 16
#: In place of a host, where a hook failed on this machine.
HERE: Key = ("here", "", None)
#: Seconds that the hooks for a failure have here after an interruption: pipelines kill what does not end soon.
INTERRUPTED = 30.0
#: Seconds after which a host without its client has undone everything and freed its lock.
LOCK_FREE = 60.0


@dataclass(frozen=True)
class RolloutOptions:
    """The options of a rollout.

    Attributes:
        hosts: Only these hosts; all of them if empty.
        wait: Seconds to wait for another deployer.
        force: Replace blocks on the host that were edited by hand.
        progress: Told which step each host is in, and what programs say there (``last_lines.Line``).
        compare: Compare the definitions before and after, for those who are told of them.
    """

    hosts: Sequence[str] = ()
    wait: float = 0.0
    force: bool = False
    progress: Progress = lambda *_: None
    compare: bool = False


DEFAULT_OPTIONS = RolloutOptions()


class DeployError(BuilderError):
    """A change failed on a host, and every host was rolled back."""


@dataclass(frozen=True)
class HostOutcome:
    """The result of a change on one host.

    Attributes:
        host: The host.
        releases: The current release of each module.
        notes: Notes for the user.
        pruned: The old releases that were removed.
        seconds: How long some steps took.
        deleted: The data of modules that was deleted.
        problems: What failed after the change was complete on every host; the user has to look at it.
        stands: Whether the change is in place there; a host that was lost before it confirmed may have undone it.
        before: The previous release of each module; None if there was none.
        commits: By module, the commits that came with the change, newest first.
        automation: The schedules and sensors that were ``renamed``, and those that are new and ``stopped``.
        definitions: By module, what changed of its assets, jobs and other definitions (``loading.compared``); None
            where that was not asked for, or Dagster does not tell.
    """

    host: str
    releases: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    deleted: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    stands: bool = True
    before: Mapping[str, str | None] = field(default_factory=dict)
    commits: Mapping[str, Sequence[str]] = field(default_factory=dict)
    automation: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Rollout(ABC):
    """One change of one or more modules on several hosts.

    Attributes:
        targets: The hosts.
        progress: Told which step each is in.
        runs: The conversations with them that have begun already.
        compares: Whether the definitions before and after are compared.
    """

    targets: Sequence[Target]
    progress: Progress
    runs: list[HostRun] = field(default_factory=list)
    compares: bool = False

    #: Its name in the log.
    action = "change"
    #: The points of its hooks before and after the switch; without them it has no hooks.
    hook_points: ClassVar[tuple[str, str] | None] = None

    @abstractmethod
    def prepare(self, run: HostRun) -> None:
        """Do everything on a host that does not touch what runs there."""

    @abstractmethod
    def switch(self, run: HostRun) -> None:
        """Make the change on a host, and verify that its Dagster has loaded it."""

    @abstractmethod
    def keep(self, run: HostRun) -> HostOutcome:
        """Keep the change on a host, so that it is not undone any more."""

    def settle(self, run: HostRun) -> None:
        """Make Dagster's daemon use the change."""
        run.settle(is_new=False, wait=False)

    def chosen(self) -> list[HostRun]:
        """Return the hosts to switch, after all are prepared."""
        return self.runs

    def facts(self, run: HostRun | None, deployment: Deployment) -> Facts:  # noqa: ARG002 - a change may know more
        """Return what hooks are told, as far as it is known; without a host, what is the same on all of them."""
        return Facts(self.action, deployment)

    def carry_out(self) -> list[HostOutcome]:
        """Carry out the steps on all hosts, with a barrier before the switch and one after it.

        Returns:
            The result of each host. After the second barrier the change does not fail any more: ``problems`` says what
            did not work there.

        Raises:
            DeployError: A host failed before that, or none confirmed; it names the hosts and the reasons. Every host
                was rolled back.
        """
        self.runs = self.runs or [HostRun(target, self.progress) for target in self.targets]
        every = list(self.runs)
        try:
            with self.told_if_interrupted():
                self.step("prepare", self.prepare)
                self.runs = self.chosen()
                before, after = self.hook_points or ("", "")
                self.hooks(before)
                self.step("switch", self.switched)
                self.hooks(after)
                return self.finish()
        finally:
            in_parallel(every, HostRun.close)

    def switched(self, run: HostRun) -> None:
        """Switch a host, after its definitions were noted if they are compared."""
        if self.compares:
            run.defined = run.definitions()
        self.switch(run)

    @property
    def host_names(self) -> list[str]:
        """The hosts of the change, for the log of each of them."""
        return [str(run.target) for run in self.runs]

    def deployments(self) -> list[Deployment]:
        """Return the deployments, each once."""
        runs = self.runs or [HostRun(target, self.progress) for target in self.targets]
        return list({id(each): each for run in runs for each in run.target.deployments}.values())

    def hooks(self, point: str) -> None:
        """Run the hooks of a point: before the switch here first, behind it here last."""
        if not any(hooks_at(deployment, point) for deployment in self.deployments()):
            return
        if point.startswith("before"):
            self.hooks_here(point)
        self.step(point, lambda run: self.hooks_on_host(run, point))
        if not point.startswith("before"):
            self.hooks_here(point)

    def hooks_on_host(self, run: HostRun, point: str) -> None:
        """Run the hooks of a point on a host."""
        for deployment in run.target.deployments:
            host_hooks.run_on_host(run, self.facts(run, deployment), point)
        host_hooks.log(run)

    def hooks_here(self, point: str) -> None:
        """Run the hooks of a point on this machine; if one fails, roll back all hosts."""
        try:
            for deployment in self.deployments():
                runs = [run for run in self.runs if deployment in run.target.deployments]
                host_hooks.run_here(runs, self.facts(next(iter(runs), None), deployment), point, self.progress)
        except BuilderError as error:
            self.back(point, {HERE: error})

    def leave_hooks(self, run: HostRun, deployment: Deployment) -> None:
        """Leave the hooks for a failure with a host that will be alone if this process or the connection is killed."""
        if self.hook_points and hooks_at(deployment, "on_failure"):
            host_hooks.leave_on_host(run, self.facts(run, deployment))

    @contextlib.contextmanager
    def told_if_interrupted(self) -> Iterator[None]:
        """Run the hooks for a failure here if the block is interrupted; the hosts run theirs when they have gone back.

        What failed of them is in the arguments of the KeyboardInterrupt.
        """
        try:
            yield
        except KeyboardInterrupt as interrupt:
            # A host goes back as soon as its conversation ends.
            in_parallel(self.runs, HostRun.close)
            interrupt.args = (*interrupt.args, *self.hooks_of_interruption())
            raise

    def hooks_of_interruption(self) -> Iterator[str]:
        """Run the hooks for a failure that run here, within ``INTERRUPTED`` seconds; yield what failed of them."""
        for deployment in self.deployments() if self.hook_points else ():
            facts = replace(self.facts(None, deployment), failure="It was interrupted.")
            try:
                yield from host_hooks.run_here([], facts, "on_failure", self.progress, within=INTERRUPTED)
            except BuilderError as error:
                yield str(error)

    def hooks_of_failure(self, reason: str) -> list[str]:
        """Run the hooks for a failure, on the hosts that still answer and here; return what failed of them.

        A host that does not answer runs its own, as soon as it notices.
        """
        if not self.hook_points:
            return []
        problems: list[str] = []
        for deployment in self.deployments():
            if not hooks_at(deployment, "on_failure"):
                continue
            every = [run for run in self.runs if deployment in run.target.deployments]
            runs = [run for run in every if run.begun and not run.conversation.is_closed]
            facts = replace(self.facts(next(iter(runs), None), deployment), failure=reason)

            def on_host(run: HostRun, deployment: Deployment = deployment) -> None:
                told = replace(self.facts(run, deployment), failure=reason)
                host_hooks.run_on_host(run, told, "on_failure")

            failures = filter(None, in_parallel(runs, lambda run: _attempt(run, on_host)))
            problems += [str(error) for _, error in failures]
            try:
                host_hooks.run_here(every, facts, "on_failure", self.progress)
            except BuilderError as error:
                problems.append(str(error))
            problems += [problem.removesuffix("\nThe change stands.") for run in runs for problem in run.problems]
            in_parallel(runs, host_hooks.log_quietly)
        return problems

    def finish(self) -> list[HostOutcome]:
        """Keep the change on every host, and return the results."""
        kept = in_parallel(self.runs, self._kept)
        if kept and not any(outcome.stands for outcome in kept):
            raise DeployError("\n".join(problem for outcome in kept for problem in outcome.problems))
        standing = [run for run, outcome in zip(self.runs, kept, strict=True) if outcome.stands]
        try:
            in_parallel(standing, self._settled)
        except KeyboardInterrupt:
            for run in standing:
                run.problems.append(f"{run.target}: interrupted before Dagster's daemon was known to have the change.")
        return [_complete(run, outcome) for run, outcome in zip(self.runs, kept, strict=True)]

    def _kept(self, run: HostRun) -> HostOutcome:
        try:
            host_hooks.log(run)
            kept = self.keep(run)
            return replace(kept, definitions=_differences(run)) if self.compares else kept
        except BuilderError as error:
            run.report("lost")
            run.close()
            return what_stands(run, error)

    def _settled(self, run: HostRun) -> None:
        try:
            self.settle(run)
        except BuilderError as error:
            run.problems.append(f"{error} The change stands on {run.target}.")

    def step(self, name: str, work: Callable[[HostRun], None]) -> None:
        """Carry out a step on every host; if one fails, roll back all of them."""
        failures = dict(filter(None, in_parallel(self.runs, lambda run: _attempt(run, work))))
        if failures:
            self.back(name, failures)

    def back(self, step: str, failures: Mapping[Key, BuilderError]) -> NoReturn:
        """Roll back every host, and raise the reason."""
        reason = harmless_text("; ".join(str(error) for error in failures.values()))
        log = {**holder(self.action), "hosts": self.host_names, "step": step, "reason": reason[:_REASON]}
        answers = in_parallel(self.runs, lambda run: _put_back(run, log))
        error = _said(step, failures, [note for notes in answers for note in notes], len(self.runs))
        if problems := self.hooks_of_failure(reason[:_REASON]):
            error.args = ("\n".join([str(error), *problems]),)
        error.results = [
            {"host": str(run.target), "step": step, "error": str(failures.get(run.target.key, "")) or None}
            for run in self.runs
        ]
        raise error


def _differences(run: HostRun) -> dict[str, Any]:
    """Return what changed of each module's definitions; what cannot be told changes nothing else."""
    try:
        now = run.definitions()
    except BuilderError:
        now = {}
    return {
        module: None if old is None or now.get(module) is None else compared(old, now[module])
        for module, old in run.defined.items()
    }


def _complete(run: HostRun, outcome: HostOutcome) -> HostOutcome:
    """Return an outcome with the notes and problems that came after it."""
    problems = (*outcome.problems, *run.problems)
    return replace(
        outcome, notes=tuple(run.notes), problems=problems, seconds=dict(run.seconds), automation=run.automation
    )


def what_stands(run: HostRun, error: BuilderError) -> HostOutcome:
    """Ask a host that did not confirm the change for its state, as soon as it has undone unfinished work."""
    modules = run.target.modules
    try:
        inspection = _inspection_when_free(run, modules)
    except BuilderError as unknown:
        problem = f"{error}\nIt is not known which release runs on {run.target}: {unknown}"
        return HostOutcome(str(run.target), problems=(problem,), stands=False)
    states = {module: inspection["modules"][module]["state"] for module in modules}
    releases = {module: state["current"] for module, state in states.items() if state.get("current")}
    if not inspection["journal"] and all(state != run.state(module) for module, state in states.items()):
        return HostOutcome(str(run.target), releases, problems=(f"{error} The change stands on {run.target}.",))
    named = ", ".join(f"{module} {release}" for module, release in releases.items()) or "no release"
    back = "will be restored by the next command" if inspection["journal"] else "was restored"
    problem = f"{error}\n{run.target} has the old release, which {back}: {named}. Run the command again for that host."
    return HostOutcome(str(run.target), releases, problems=(problem,), stands=False)


def _inspection_when_free(run: HostRun, modules: Sequence[str]) -> Mapping[str, Any]:
    """Return a host's state once its lock is free, or after a minute."""
    until = time.monotonic() + LOCK_FREE
    while True:
        again = HostRun(run.target, run.progress)
        try:
            inspection = again.inspect(modules)
            if not inspection["lock"] or time.monotonic() > until:
                return inspection
        except BuilderError:
            # A network that just failed may need a moment.
            if time.monotonic() > until:
                raise
        finally:
            again.close()
        time.sleep(0.5)


def _attempt(run: HostRun, work: Callable[[HostRun], None]) -> tuple[Key, BuilderError] | None:
    try:
        with heard_by(run.report):
            work(run)
    except BuilderError as error:
        run.report("failed")
        return run.target.key, error
    return None


def _put_back(run: HostRun, log: Mapping[str, Any]) -> list[str]:
    """Roll back one host; return problems for the user."""
    if not run.begun:
        return []
    host_hooks.log_quietly(run)
    try:
        return [f"{run.target}: {problem}" for problem in run.back(run.begun, log)]
    except BuilderError:
        # It goes back, and tells others, by itself.
        run.conversation.close()
        return [f"{run.target} did not confirm the rollback; it rolls back by itself: see 'deploy.status'."]


def _said(step: str, failures: Mapping[Key, BuilderError], notes: Sequence[str], count: int) -> DeployError:
    back = "Rolled back on every host that answered" if notes else "Rolled back on every host"
    before = back if step == "switch" or step in AFTER_THE_SWITCH else "Nothing was switched"
    is_counted = count > 1 and HERE not in failures
    whole = f"{before}: {len(failures)} of {count} hosts failed." if is_counted else f"{before}."
    error = DeployError("\n".join([whole, *(str(failure) for failure in failures.values()), *notes]))
    error.exit_code = next(iter(failures.values())).exit_code
    return error

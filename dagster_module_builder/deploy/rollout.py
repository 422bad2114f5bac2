"""A change on its way to all hosts at once: every host takes it, or every host is put back."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.each_host import in_parallel
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import Key, Target
from dagster_module_builder.disclosure.messages import harmless_text

#: Characters of a reason that a host's log keeps.
_REASON = 1 << 16
#: Seconds after which a host whose client is gone has put everything back, and freed its lock.
LOCK_FREE = 60.0


@dataclass(frozen=True)
class RolloutOptions:
    """How a change of what is on the hosts is made.

    Attributes:
        hosts: Only on these; on all of them when empty.
        wait: How many seconds to wait for another deployer.
        force: Replace blocks on the host that somebody edited.
        progress: Told which step each host is in.
    """

    hosts: Sequence[str] = ()
    wait: float = 0.0
    force: bool = False
    progress: Progress = lambda *_: None


DEFAULT_OPTIONS = RolloutOptions()


class DeployError(BuilderError):
    """A change failed on some host, and every host has what it had before."""


@dataclass(frozen=True)
class HostOutcome:
    """What a change did on one host.

    Attributes:
        host: Which.
        releases: The release of each module that runs now.
        notes: What a person should know.
        pruned: The releases that were removed because of their age.
        seconds: How long some steps took.
        deleted: What was deleted of the modules' data.
        problems: What failed after the change stood on every host; a person has to look at it.
        stands: Whether the change stands there; one that was lost before it confirmed may have gone back.
        before: The release of each module that ran before; None where none did.
        commits: By module, the commits that came with the change, newest first.
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


@dataclass
class Rollout(ABC):
    """One change of one or more modules on several hosts.

    Attributes:
        targets: The hosts.
        progress: Told which step each is in.
        runs: The conversations with them, where they have begun already.
    """

    targets: Sequence[Target]
    progress: Progress
    runs: list[HostRun] = field(default_factory=list)

    #: What the log calls it.
    action = "change"

    @abstractmethod
    def prepare(self, run: HostRun) -> None:
        """Do everything on a host that touches nothing that runs."""

    @abstractmethod
    def switch(self, run: HostRun) -> None:
        """Make the change on a host, and prove that its Dagster has taken it."""

    @abstractmethod
    def keep(self, run: HostRun) -> HostOutcome:
        """Let the change stand."""

    def settle(self, run: HostRun) -> None:
        """See to it that Dagster's daemon knows of the change."""
        run.settle(is_new=False, wait=False)

    def chosen(self) -> list[HostRun]:
        """Return the hosts that are to be switched, after all are prepared."""
        return self.runs

    def carry_out(self) -> list[HostOutcome]:
        """Go through the steps on all hosts, with a barrier before the switch and one behind it.

        Returns:
            What each host has now. Behind the second barrier nothing turns the change into a failure: ``problems``
            says what did not work there.

        Raises:
            DeployError: A host failed before that, or none confirmed; it says which, and why. Every host has what it
                had before.
        """
        self.runs = self.runs or [HostRun(target, self.progress) for target in self.targets]
        every = list(self.runs)
        try:
            self.step("prepare", self.prepare)
            self.runs = self.chosen()
            self.step("switch", self.switch)
            return self.finish()
        finally:
            in_parallel(every, HostRun.close)

    def finish(self) -> list[HostOutcome]:
        """Let the change stand on every host, and say what each of them has."""
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
            return self.keep(run)
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
        """Have every host take a step; if one cannot, put all of them back."""
        failures = dict(filter(None, in_parallel(self.runs, lambda run: _attempt(run, work))))
        if failures:
            self.back(name, failures)

    def back(self, step: str, failures: Mapping[Key, BuilderError]) -> None:
        """Put every host back, and say why."""
        told = harmless_text("; ".join(str(error) for error in failures.values()))
        log = {**holder(self.action), "step": step, "reason": told[:_REASON]}
        answers = in_parallel(self.runs, lambda run: _put_back(run, log))
        error = _said(step, failures, [note for notes in answers for note in notes], len(self.runs))
        error.results = [
            {"host": str(run.target), "step": step, "error": str(failures.get(run.target.key, "")) or None}
            for run in self.runs
        ]
        raise error


def _complete(run: HostRun, outcome: HostOutcome) -> HostOutcome:
    """Return an outcome with what was found out since."""
    problems = (*outcome.problems, *run.problems)
    return replace(outcome, notes=tuple(run.notes), problems=problems, seconds=dict(run.seconds))


def what_stands(run: HostRun, error: BuilderError) -> HostOutcome:
    """Ask a host that did not confirm the change what it has, as soon as it has put back what it puts back."""
    modules = run.target.modules
    try:
        found = _found_free(run, modules)
    except BuilderError as unknown:
        problem = f"{error}\nIt is not known which release runs on {run.target}: {unknown}"
        return HostOutcome(str(run.target), problems=(problem,), stands=False)
    states = {module: found["modules"][module]["state"] for module in modules}
    releases = {module: state["current"] for module, state in states.items() if state.get("current")}
    if not found["journal"] and all(state != run.state(module) for module, state in states.items()):
        return HostOutcome(str(run.target), releases, problems=(f"{error} The change stands on {run.target}.",))
    named = ", ".join(f"{module} {release}" for module, release in releases.items()) or "no release"
    back = "will be put back by the next command" if found["journal"] else "was put back"
    problem = f"{error}\n{run.target} has the old release, which {back}: {named}. Say the command again for that host."
    return HostOutcome(str(run.target), releases, problems=(problem,), stands=False)


def _found_free(run: HostRun, modules: Sequence[str]) -> Mapping[str, Any]:
    """Return what is on a host once its lock is free, or a minute is over."""
    until = time.monotonic() + LOCK_FREE
    while True:
        again = HostRun(run.target, run.progress)
        try:
            found = again.inspect(modules)
            if not found["lock"] or time.monotonic() > until:
                return found
        except BuilderError:
            # A line that was just lost may take a moment to come back.
            if time.monotonic() > until:
                raise
        finally:
            again.close()
        time.sleep(0.5)


def _attempt(run: HostRun, work: Callable[[HostRun], None]) -> tuple[Key, BuilderError] | None:
    try:
        work(run)
    except BuilderError as error:
        run.report("failed")
        return run.target.key, error
    return None


def _put_back(run: HostRun, log: Mapping[str, Any]) -> list[str]:
    """Put one host back; return what a person has to look at."""
    if not run.begun:
        return []
    try:
        return [f"{run.target}: {problem}" for problem in run.back(run.begun, log)]
    except BuilderError:
        return [f"{run.target} did not confirm that it was put back; it does that by itself: see 'deploy.status'."]


def _said(step: str, failures: Mapping[Key, BuilderError], notes: Sequence[str], count: int) -> DeployError:
    back = "Rolled back on every host that answered" if notes else "Rolled back on every host"
    before = "Nothing was switched" if step == "prepare" else back
    whole = f"{before}: {len(failures)} of {count} hosts failed." if count > 1 else f"{before}."
    error = DeployError("\n".join([whole, *(str(failure) for failure in failures.values()), *notes]))
    error.exit_code = next(iter(failures.values())).exit_code
    return error

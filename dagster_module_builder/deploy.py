"""Deploy: every host gets the new release, verified, or all of them keep the old one."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from dagster_module_builder.deployment import Deployment, Host
from dagster_module_builder.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.host_files import Location
from dagster_module_builder.host_run import HostRun, Progress, Release, Target, holder
from deploy_strategies.base import load_strategy

#: How many hosts are spoken to at once.
AT_ONCE = 32
#: How long to wait for runs in progress, in seconds.
DRAIN = 3600


class DeployError(BuilderError):
    """A deployment failed on some host, and every host has what it had before."""


@dataclass(frozen=True)
class HostOutcome:
    """What a deployment did on one host."""

    host: str
    releases: Mapping[str, str]
    notes: tuple[str, ...] = ()
    pruned: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """How to deploy.

    Attributes:
        hosts: Only these; all of them when empty.
        allow_dirty: Take also what no commit, or no remote, has.
        wait: How many seconds to wait for another deployer.
        drain: Wait until no run of the module is in progress before the switch.
        keep: How many good releases stay; the deployment's own number when None.
        force: Replace blocks on the host that somebody edited.
        only_failed: Only the hosts that do not have this content yet.
        settle: After the first deployment of a module, wait until the daemon knows it.
    """

    hosts: Sequence[str] = ()
    allow_dirty: bool = False
    wait: float = 0.0
    drain: bool = False
    keep: int | None = None
    force: bool = False
    only_failed: bool = False
    settle: bool = True


def targets_of(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[Target]:
    """Group deployments by the Dagster that they go to.

    Raises:
        RefusedError: One of the hosts asked for is in none of them, or two disagree on how a Dagster runs.
    """
    groups: dict[tuple[str, str, str | None], list[Deployment]] = {}
    places: dict[tuple[str, str, str | None], Host] = {}
    for deployment in deployments:
        for host in deployment.hosts:
            if hosts and host.address.host not in hosts and str(host) not in hosts:
                continue
            key = (str(host), host.base_path, host.address.user)
            groups.setdefault(key, []).append(deployment)
            places.setdefault(key, host)
    lacking = [one for one in hosts if not any(one in (key[0], places[key].address.host) for key in groups)]
    if lacking:
        known = ", ".join(sorted({str(host) for one in deployments for host in one.hosts}))
        raise RefusedError(f"{lacking[0]!r} is no host of this deployment: there are {known}.")
    for key, group in groups.items():
        if len({(one.url, one.dagster_folder, one.kind) for one in group}) > 1:
            names = " and ".join(one.names.name for one in group)
            raise RefusedError(f"{names} disagree on how Dagster runs on {key[0]}: see 'dagster:' in their deployment.yaml.")
    return [Target(places[key], tuple(group)) for key, group in groups.items()]


def release_of(deployment: Deployment, *, allow_dirty: bool) -> Release:
    """Take in what is to be deployed of one module, on this machine.

    Raises:
        RefusedError: There is something that cannot, or should not, be released.
    """
    strategy = load_strategy(deployment.strategy)
    lacking = [name for name in strategy.tools_here if shutil.which(name) is None]
    if lacking:
        raise ToolError(f"{', '.join(lacking)} is not installed on this machine.")
    env = deployment.env_text()
    staged = strategy.stage(deployment.module, deployment.own, allow_dirty=allow_dirty)
    package = f"{deployment.source}/{deployment.names.package}/definitions.py"
    if staged.read(package) is None:
        raise RefusedError(f"{deployment.module}: there is no {package} to deploy.")
    requirements = _requirements(deployment, staged.read("pyproject.toml"))
    constraints = (staged.read("constraints.txt") or b"").decode()
    return Release(deployment, strategy, staged, staged.identity(), env, requirements, constraints)


def _requirements(deployment: Deployment, pyproject: bytes | None) -> str:
    if pyproject is None:
        return ""
    try:
        project = tomllib.loads(pyproject.decode())["project"]
    except (ValueError, KeyError) as error:
        raise RefusedError(f"{deployment.module / 'pyproject.toml'}: {error}") from None
    return "".join(f"{one}\n" for one in project.get("dependencies", []))


def deploy(deployments: Sequence[Deployment], options: Options, progress: Progress = lambda *_: None) -> list[HostOutcome]:
    """Deploy to every host, or leave every host as it was.

    Raises:
        DeployError: A host failed; it says which, and why.
    """
    targets = targets_of(deployments, options.hosts)
    releases = {one.names.name: release_of(one, allow_dirty=options.allow_dirty) for one in deployments}
    return Rollout(targets, releases, options, progress).carry_out()


@dataclass
class Rollout:
    """One deployment on its way to all hosts."""

    targets: Sequence[Target]
    releases: Mapping[str, Release]
    options: Options
    progress: Progress
    runs: list[HostRun] = field(default_factory=list)

    def carry_out(self) -> list[HostOutcome]:
        """Go through the steps on all hosts at once, with a barrier before the switch and one behind it."""
        self.runs = [HostRun(target, self.progress) for target in self.targets]
        try:
            self.step("prepare", self.prepare)
            if self.options.only_failed:
                self.drop_done()
            self.step("switch", self.switch)
            return list(in_parallel(self.runs, self.keep))
        finally:
            in_parallel(self.runs, HostRun.close)

    def releases_of(self, run: HostRun) -> list[Release]:
        """Return what goes to a host."""
        return [self.releases[one.names.name] for one in run.target.deployments]

    def step(self, name: str, work: Callable[[HostRun], None]) -> None:
        """Have every host take a step; if one cannot, put all of them back."""
        failures = dict(filter(None, in_parallel(self.runs, lambda run: _attempt(run, work))))
        if failures:
            self.back(name, failures)

    def back(self, step: str, failures: Mapping[str, BuilderError]) -> None:
        """Put every host back, and say why."""
        told = "; ".join(str(error) for error in failures.values())

        def put_back(run: HostRun) -> tuple[str, BuilderError] | None:
            log = {**holder(), "action": "deploy", "step": step, "reason": told[-4000:]}
            return _attempt(run, lambda run: self.notes(run, run.back(run.begun, log)) if run.begun else None)

        lost = dict(filter(None, in_parallel(self.runs, put_back)))
        notes = [f"{run.target}: {note}" for run in self.runs for note in run.notes if host_problem(note)]
        raise _said(step, failures, lost, notes, len(self.runs))

    @staticmethod
    def notes(run: HostRun, problems: Iterable[str]) -> None:
        """Remember what could not be put back."""
        run.notes += [f"not put back: {one}" for one in problems]

    def drop_done(self) -> None:
        """Leave out the hosts that have this content already."""
        done = [run for run in self.runs if all(self.is_done(run, release) for release in self.releases_of(run))]
        in_parallel(done, lambda run: run.back(run.begun, {**holder(), "action": "deploy", "step": "unchanged"}))
        in_parallel(done, HostRun.close)
        self.runs = [run for run in self.runs if run not in done]

    @staticmethod
    def is_done(run: HostRun, release: Release) -> bool:
        """Tell whether a host runs this content."""
        module = run.found["modules"][release.module]
        current = module["releases"].get(module["state"].get("current"), {})
        location = run.found["dagster"]["locations"].get(release.deployment.names.snake, {})
        return current.get("digest") == release.staged.digest and bool(location.get("loaded"))

    def prepare(self, run: HostRun) -> None:
        """Bring the releases to a host, and verify them there."""
        started = time.monotonic()
        run.prepare(self.releases_of(run), self.options.wait, holder())
        if self.options.drain:
            run.tell("drain")
            locations = [release.deployment.names.snake for release in self.releases_of(run)]
            run.conversation.ask("wait", locations=locations, limit=DRAIN)
        # Planned before the barrier: what cannot be merged on one host stops all of them.
        run.plan(self.locations(run), force=self.options.force)
        run.seconds["prepare"] = time.monotonic() - started
        run.tell("verified")

    def locations(self, run: HostRun) -> list[Location]:
        """Return what a host's Dagster is to be told."""
        return [run.location(one.deployment, one.identity, one.environment, one.env) for one in self.releases_of(run)]

    def switch(self, run: HostRun) -> None:
        """Switch a host to the new releases."""
        put = self.locations(run)
        modules = [switch_request(one) for one in self.releases_of(run)]
        run.switch(run.plan(put, force=self.options.force), modules, put)

    def keep(self, run: HostRun) -> HostOutcome:
        """Let the new releases stand."""
        releases = self.releases_of(run)
        is_new = any(not run.state(one.module).get("current") for one in releases)
        keep = max(2, self.options.keep or max(one.deployment.keep for one in releases))
        log = {**holder(), "action": "deploy", "commit": releases[0].staged.source.commit}
        pruned = run.keep([one.module for one in releases], keep, log)
        run.settle(is_new=is_new, wait=self.options.settle)
        made = {one.module: one.identity for one in releases}
        return HostOutcome(str(run.target), made, tuple(run.notes), tuple(pruned), dict(run.seconds))


def switch_request(release: Release) -> dict[str, Any]:
    """Return what the host is told of one module that it switches to a new release."""
    import base64  # noqa: PLC0415

    return {
        "module": release.module,
        "release": release.identity,
        "new": True,
        "env": base64.b64encode(release.env).decode(),
        "state": {"by": holder()["who"], "commit": release.staged.source.commit, "deployment": release.deployment.name},
    }


def host_problem(note: str) -> bool:
    """Tell whether a note says that something was not put back."""
    return note.startswith("not put back")


def in_parallel(runs: Sequence[HostRun], work: Callable[[HostRun], Any]) -> list[Any]:
    """Do something on all hosts at once, and wait for all of them."""
    if len(runs) < 2:
        return [work(run) for run in runs]
    pool = ThreadPoolExecutor(min(len(runs), AT_ONCE))
    try:
        return list(pool.map(work, runs))
    except BaseException:
        # Closed channels end the work of the threads that still wait for an answer.
        for run in runs:
            run.close()
        raise
    finally:
        pool.shutdown(wait=True)


def _attempt(run: HostRun, work: Callable[[HostRun], None]) -> tuple[str, BuilderError] | None:
    try:
        work(run)
    except BuilderError as error:
        run.tell("failed")
        return str(run.target), error
    return None


def _said(
    step: str, failures: Mapping[str, BuilderError], lost: Mapping[str, BuilderError], notes: Sequence[str], count: int
) -> DeployError:
    reasons = [str(error) for error in failures.values()]
    before = "Nothing was switched" if step == "prepare" else "Every host was put back"
    whole = f"{before}: {len(failures)} of {count} hosts failed in {step!r}." if count > 1 else f"{before}; it failed in {step!r}."
    not_told = [f"{host} did not confirm that it was put back: see 'deploy.status'." for host in lost]
    error = DeployError("\n".join([whole, *reasons, *not_told, *notes]))
    error.exit_code = next(iter(failures.values())).exit_code
    return error



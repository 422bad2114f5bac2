"""Deploy a new release: every host gets it, verified, or all of them keep the old one."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.each_host import in_parallel
from dagster_module_builder.deploy.hosts import host_assets, host_database, host_hooks, host_preparation
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_hooks import Facts
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import Target, targets_of
from dagster_module_builder.deploy.model import hooks
from dagster_module_builder.deploy.model.deployment import Deployment, lacking_settings
from dagster_module_builder.deploy.model.release import Staged
from dagster_module_builder.deploy.rollout import HERE, HostOutcome, Rollout
from dagster_module_builder.deploy.strategies.base import Strategy, load_strategy
from dagster_module_builder.modules.dagster_check import CONSTRAINTS
from dagster_module_builder.modules.hashes import HASHES, with_hashes
from dagster_module_builder.programs import outside_programs
from dagster_module_builder.programs.last_lines import heard_by
from dagster_module_builder.programs.version_control import commits_since
from dagster_module_builder.shared_files.formats import compose, env_file, toml_text

#: How long to wait for runs in progress, in seconds.
DRAIN = 3600


@dataclass(frozen=True)
class Options:
    """The options of ``deploy``.

    Attributes:
        hosts: Only these hosts; all of them if empty.
        allow_dirty: Accept changes that are not committed or not pushed.
        wait: Seconds to wait for another deployer.
        drain: Before the switch, wait until no run of the module is in progress.
        keep: The number of good releases to keep; None for the deployment's own number.
        force: Replace blocks on the host that were edited by hand.
        only_failed: Only the hosts that do not have this content yet.
        pause: Pause the modules' schedules and sensors until the release is kept or undone.
        first: The hosts or groups that are deployed to before the others, which stay as they are if that fails.
        first_wait: Seconds to wait then, before the first hosts are looked at again and the others follow.
        settle: After the first deployment of a module, wait until the daemon knows it.
        compare: Compare the definitions before and after, for those who are told of them.
    """

    hosts: Sequence[str] = ()
    allow_dirty: bool = False
    wait: float = 0.0
    drain: bool = False
    keep: int | None = None
    force: bool = False
    only_failed: bool = False
    settle: bool = True
    pause: bool = False
    first: Sequence[str] = ()
    first_wait: float = 0.0
    compare: bool = False


def release_of(deployment: Deployment, *, allow_dirty: bool, complete: bool = True) -> Release:
    """Return the release of one module, from the files on this machine.

    Args:
        deployment: The deployment.
        allow_dirty: Accept changes that are not committed or not pushed.
        complete: Refuse settings that have no value yet, and fetch those that commands give.

    Raises:
        RefusedError: Something cannot, or should not, be released.
    """
    strategy = load_strategy(deployment.strategy)
    strategy.deployment = deployment
    lacking = [name for name in strategy.tools_here if not outside_programs.is_installed(name)]
    if lacking:
        raise ToolError(f"{', '.join(lacking)} is not installed on this machine: install it.")
    settings_text = deployment.env_text(fetch=complete)
    if complete and (problems := lacking_settings(deployment, env_file.values(settings_text))):
        raise RefusedError("\n".join(problems))
    staged = strategy.stage(deployment.module, deployment.own, allow_dirty=allow_dirty)
    return release_from(deployment, strategy, staged, settings_text)


def release_from(
    deployment: Deployment, strategy: Strategy, staged: Staged, settings_text: bytes, *, has_code: bool = True
) -> Release:
    """Return the release of one module from its files, with the settings of a deployment.

    Args:
        deployment: The deployment.
        strategy: Brings the files to the hosts.
        staged: The files.
        settings_text: The settings, as ``env_text`` returned them.
        has_code: Whether the code is among them, and not in an image that exists already.

    Raises:
        RefusedError: A file that every release needs is missing.
    """
    package = f"{deployment.source}/{deployment.names.package}/definitions.py"
    if has_code and staged.read(package) is None:
        raise RefusedError(f"{deployment.module} has no {package}: Dagster's definitions are missing.")
    requirements = _requirements(deployment, staged.read("pyproject.toml"))
    constraints = with_hashes(*((staged.read(name) or b"").decode() for name in (CONSTRAINTS.name, HASHES)))
    database = _database(deployment, staged, settings_text)
    env = host_database.settings(settings_text, database, deployment.names)
    identity, files = staged.identity(), hooks.digests(deployment)
    return Release(deployment, strategy, staged, identity, env, requirements, constraints, database, hooks=files)


def on_host(release: Release, run: HostRun) -> Release:
    """Return a release with a host's own settings."""
    return replace(release, env=run.target.env_text(release.deployment, release.env))


def _database(deployment: Deployment, staged: Staged, env: bytes) -> dict[str, Any] | None:
    """Return the module's database, if it should be a service beside the host's Dagster."""
    if deployment.kind != "compose":
        return None
    fragment = staged.read(f"{settings.FRAGMENTS}/{compose.NAME}")
    allowed = deployment.data.get("allow") or ()
    return host_database.database_of(fragment, deployment.names, deployment.dagster_folder, env, allowed)


def built(release: Release, progress: Progress) -> Release:
    """Return a release with what its strategy builds on this machine, such as an image."""

    def report(step: str) -> None:
        progress("here", step)

    with heard_by(report):
        return replace(release, made=release.strategy.build(release.staged, report))


def _requirements(deployment: Deployment, pyproject: bytes | None) -> str:
    if pyproject is None:
        return ""
    try:
        project = toml_text.parsed(pyproject)["project"]
    except (ValueError, KeyError) as error:
        raise RefusedError(f"{deployment.module / 'pyproject.toml'}: {error}") from None
    return "".join(f"{requirement}\n" for requirement in project.get("dependencies", []))


def deploy(
    deployments: Sequence[Deployment], options: Options, progress: Progress = lambda *_: None
) -> list[HostOutcome]:
    """Deploy to every host, or leave every host as it was.

    Raises:
        DeployError: A host failed; it names the hosts and the reasons.
    """
    targets = targets_of(deployments, options.hosts)
    return deploy_to(targets, deployments, options, progress, {})


def deploy_to(
    targets: Sequence[Target],
    deployments: Sequence[Deployment],
    options: Options,
    progress: Progress,
    made: dict[str, Release],
) -> list[HostOutcome]:
    """Deploy to these hosts.

    Args:
        targets: The hosts.
        deployments: All deployments.
        options: The options.
        progress: Told which step each host is in.
        made: The releases that another turn has made, by module; added to.

    Raises:
        DeployError: A host failed; it names the hosts and the reasons.
    """
    runs = [HostRun(target, progress) for target in targets]
    try:
        for run in runs:
            reach(run)
        is_made = bool(made)
        if not is_made:
            taken = [release_of(deployment, allow_dirty=options.allow_dirty) for deployment in deployments]
            made |= {release.module: release for release in taken}
        deploying = Deploying(targets, progress, runs, compares=options.compare, releases=made, options=options)
        deploying.look_before_building()
        if not is_made:
            with deploying.told_if_interrupted():
                deploying.hooks_here("before_build")
                made |= deploying.built()
                deploying.hooks_here("after_build")
        return deploying.carry_out()
    finally:
        in_parallel(runs, HostRun.close)


def reach(run: HostRun) -> None:
    """Begin to connect to a host, unless something is built for it first, which may take minutes."""
    if not builds_here(run):
        run.reach(bulk=any(load_strategy(deployment.strategy).bulk for deployment in run.target.deployments))


def builds_here(run: HostRun) -> bool:
    """Tell whether something is built for a host first, on this machine."""
    return any(load_strategy(deployment.strategy).serves for deployment in run.target.deployments)


@dataclass
class Deploying(Rollout):
    """New releases on their way to all hosts."""

    releases: Mapping[str, Release] = field(default_factory=dict)
    options: Options = field(default_factory=Options)

    action = "deploy"
    hook_points = ("before_switch", "after_switch")

    def facts(self, run: HostRun | None, deployment: Deployment) -> Facts:
        """Return what hooks are told of a new release."""
        release = self.releases[deployment.names.name]
        release = on_host(release, run) if run else release
        commit = release.staged.source.commit or ""
        facts = Facts(self.action, deployment, release.identity, "", commit, release.env)
        if run is None or not run.inspection:
            return facts
        on_host_itself = run.where is None and not release.strategy.serves
        python = run.python(deployment, run.environment(release)) if on_host_itself else ""
        return replace(facts, previous=run.state(release.module).get("current") or "", python=python)

    def releases_of(self, run: HostRun) -> list[Release]:
        """Return the releases for a host, with its own settings."""
        return [on_host(self.releases[deployment.names.name], run) for deployment in run.target.deployments]

    def locations(self, run: HostRun) -> list[HostLocation]:
        """Return the new code locations of a host."""
        return [run.location_of(release) for release in self.releases_of(run)]

    def look_before_building(self) -> None:
        """Refuse hosts that cannot take the releases, before building them takes minutes; no lock is held."""
        runs = self.runs
        self.runs = [HostRun(run.target, self.progress) for run in runs if builds_here(run)]
        self.step("prepare", self.look)
        self.runs = runs

    def built(self) -> dict[str, Release]:
        """Return the releases with what is built on this machine; if that fails, the hooks for a failure run."""
        try:
            return {module: built(release, self.progress) for module, release in self.releases.items()}
        except BuilderError as error:
            self.back("build", {HERE: error})

    def look(self, run: HostRun) -> None:
        """See whether a host can take its releases."""
        releases = self.releases_of(run)
        try:
            tools = {tool for release in releases for tool in release.strategy.tools_there}
            run.inspect([release.module for release in releases], sorted(tools))
            run.refuse_unready()
            self.judge(run)
        finally:
            run.close()

    def judge(self, run: HostRun) -> None:
        """Refuse releases that cannot be merged into a host's files."""
        host_assets.choose(run, {release.module: release.env for release in self.releases_of(run)})
        run.plan(self.locations(run), force=self.options.force)

    def prepare(self, run: HostRun) -> None:
        """Bring the releases to a host, and verify them there."""
        started = time.monotonic()
        host_preparation.prepare(
            run,
            self.releases_of(run),
            self.options.wait,
            holder(self.action),
            lambda: self.judge(run),
            lambda release, point: host_hooks.run_on_host(run, self.facts(run, release.deployment), point),
            lambda release: self.leave_hooks(run, release.deployment),
        )
        if self.options.drain:
            if self.options.pause:
                run.hold(self.location_names(run))
            run.report("drain")
            locations = self.location_names(run)
            run.conversation.ask("wait", locations=locations, limit=DRAIN)
        host_assets.bring(run)
        # Before the barrier, so that a conflict on one host stops all of them.
        self.judge(run)
        run.seconds["prepare"] = round(time.monotonic() - started, 3)
        run.report("verified")

    def location_names(self, run: HostRun) -> list[str]:
        """Return the names of a host's code locations that change."""
        return [release.deployment.names.snake for release in self.releases_of(run)]

    def chosen(self) -> list[HostRun]:
        """Leave out the hosts that have this content already, if that was asked for."""
        if not self.options.only_failed:
            return self.runs
        done = [run for run in self.runs if all(self.is_done(run, release) for release in self.releases_of(run))]
        log = {**holder(self.action), "step": "unchanged", "result": "unchanged"}
        in_parallel(done, lambda run: run.back(run.begun, log))
        return [run for run in self.runs if run not in done]

    @staticmethod
    def is_done(run: HostRun, release: Release) -> bool:
        """Tell whether a host's current release has this content and is loaded."""
        module = run.inspection["modules"][release.module]
        current = module["releases"].get(module["state"].get("current"), {})
        location = run.inspection["dagster"]["locations"].get(release.deployment.names.snake, {})
        return current.get("digest") == release.staged.digest and bool(location.get("loaded"))

    def switch(self, run: HostRun) -> None:
        """Switch a host to the new releases."""
        if self.options.pause and not self.options.drain:
            run.hold(self.location_names(run))
        put = self.locations(run)
        modules = [switch_request(release, run.servers.get(release.module)) for release in self.releases_of(run)]
        run.switch(run.plan(put, force=self.options.force), modules, put)
        # Runs may have stored assets since the first copy.
        host_assets.bring(run)

    def keep(self, run: HostRun) -> HostOutcome:
        """Keep the new releases."""
        releases = self.releases_of(run)
        keep = max(2, self.options.keep or max(release.deployment.keep for release in releases))
        log = {**holder(self.action), "hosts": self.host_names, "commit": releases[0].staged.source.commit}
        run.notes += host_assets.notes(run)
        pruned = run.keep([release.module for release in releases], keep, log)
        return HostOutcome(
            str(run.target),
            {release.module: release.identity for release in releases},
            pruned=tuple(pruned),
            before={release.module: run.state(release.module).get("current") for release in releases},
            commits={release.module: self.commits(run, release) for release in releases},
        )

    @staticmethod
    def commits(run: HostRun, release: Release) -> list[str]:
        """Return a module's commits that are new to a host, as far as they are known here."""
        current = run.state(release.module).get("current")
        record = run.inspection["modules"][release.module]["releases"].get(current) or {}
        return commits_since(release.deployment.module, record.get("commit"), release.staged.source.commit)

    def settle(self, run: HostRun) -> None:
        """Make Dagster's daemon use the releases; wait for that if one is a module's first."""
        is_new = any(not run.state(release.module).get("current") for release in self.releases_of(run))
        run.settle(is_new=is_new, wait=self.options.settle)


def switch_request(release: Release, server: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a module's values for the request ``switch`` to a new release."""
    state = {"by": holder()["who"], "commit": release.staged.source.commit, "deployment": release.deployment.name}
    return {
        "module": release.module,
        "release": release.identity,
        "new": True,
        "env": base64.b64encode(release.env).decode(),
        "state": {**state, "server": server},
    }

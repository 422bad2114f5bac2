"""Changes of what runs that bring no new release: back to an old one, or other settings."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts import host_database, host_preparation
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.targets import Key, targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.rollout import DEFAULT_OPTIONS, HostOutcome, Rollout, RolloutOptions

#: Releases that stay, where a change is no reason to remove any.
_ALL = 1 << 20


@dataclass(frozen=True)
class ChosenRelease:
    """The release that a module is to have on one host, with its settings."""

    deployment: Deployment
    identity: str
    environment: str | None
    env: bytes
    database: Mapping[str, Any] | None = None

    @property
    def module(self) -> str:
        """The module's name."""
        return self.deployment.names.name


@dataclass
class Reselecting(Rollout):
    """Another release, or other settings, of those that are on the hosts already."""

    options: RolloutOptions = DEFAULT_OPTIONS
    taken: dict[Key, list[ChosenRelease]] = field(default_factory=dict)

    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        """Return what a module is to have on a host."""
        raise NotImplementedError

    def prepare(self, run: HostRun) -> None:
        """Take the lock, and find out what each module is to have."""
        modules = run.target.modules
        run.inspect(modules, (), holder(self.action), self.options.wait)
        run.begun += modules
        run.refuse_unready()
        self.taken[run.target.key] = [self.choose(run, one) for one in run.target.deployments]
        run.plan(self.locations(run), force=self.options.force)
        run.report("verified")

    def locations(self, run: HostRun) -> list[HostLocation]:
        """Return what a host's Dagster is to be told."""
        chosen = self.taken[run.target.key]
        return [run.location(one.deployment, one.identity, one.environment, one.env, one.database) for one in chosen]

    def switch(self, run: HostRun) -> None:
        """Switch a host."""
        put = self.locations(run)
        run.switch(
            run.plan(put, force=self.options.force), [self.request(run, one) for one in self.taken[run.target.key]], put
        )

    def request(self, run: HostRun, chosen: ChosenRelease) -> dict[str, Any]:
        """Return what the host is told of one module."""
        state = {"by": holder()["who"], "server": run.servers.get(chosen.module)}
        return {"module": chosen.module, "release": chosen.identity, "state": state}

    def keep(self, run: HostRun) -> HostOutcome:
        """Let the change stand; no release is removed."""
        chosen = self.taken[run.target.key]
        run.keep([one.module for one in chosen], _ALL, holder(self.action))
        before = {one.module: run.state(one.module).get("current") for one in chosen}
        return HostOutcome(str(run.target), {one.module: one.identity for one in chosen}, before=before)


@dataclass
class RollingBack(Reselecting):
    """Back to the release before, or to a certain one."""

    release: str | None = None

    action = "rollback"

    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        """Return the release to go back to, with the settings that it had.

        Raises:
            RefusedError: There is none, or its environment is gone.
        """
        module = deployment.names.name
        found = run.inspection["modules"][module]
        identity = self.release or _different_release(run, module)
        if not identity:
            raise RefusedError(
                f"{run.target}: {module} has no release before {found['state'].get('current') or 'the first'}."
            )
        record = found["releases"].get(identity)
        if record is None:
            there = ", ".join(sorted(found["releases"])) or "none"
            raise RefusedError(f"{run.target}: {module} has no good release {identity!r} any more: there are {there}.")
        environment = record.get("environment")
        if environment and not run.has_environment(module, environment):
            raise RefusedError(f"{run.target}: the environment of {identity} is gone: deploy its commit again.")
        env = base64.b64decode(run.conversation.ask("settings", module=module, identity=identity)["env"])
        if image := record.get("image"):
            host_preparation.serve(run, deployment, identity, image, env)
        return ChosenRelease(deployment, identity, environment, env, record.get("database"))


#: What makes a release what it is, beside its settings.
_CONTENT = ("digest", "image", "environment", "database")


def _different_release(run: HostRun, module: str) -> str | None:
    """Return the newest release before the current one that differs from it in content or settings.

    A commit that was deployed twice has two releases: going from one to the other would change nothing. Where none
    differs, it is the one before, and that is noted.
    """
    found = run.inspection["modules"][module]
    current: str | None = found["state"].get("current")
    previous: str | None = found["state"].get("previous")
    if not previous:
        return None
    earlier = sorted((one for one in found["releases"] if one < previous), reverse=True)
    candidates = [previous, *earlier] if previous in found["releases"] else []
    different = next((one for one in candidates if not _is_same(run, module, one, current)), None)
    if different is None and candidates:
        run.notes.append(f"{module}: {previous} has the same content and settings as {current}: nothing else changes.")
    elif different is not None and different != previous:
        run.notes.append(f"{module}: {previous} was skipped: it has the same content and settings as {current}.")
    return different or previous


def _is_same(run: HostRun, module: str, release: str, current: str | None) -> bool:
    records = run.inspection["modules"][module]["releases"]
    old, new = records[release], records.get(current)
    if new is None or not old.get("digest") or any(old.get(part) != new.get(part) for part in _CONTENT):
        return False
    one, other = (run.conversation.ask("settings", module=module, identity=each)["env"] for each in (release, current))
    return bool(one == other)


@dataclass
class ChangingSettings(Reselecting):
    """Other settings for the release that runs."""

    action = "env"

    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        """Return the current release with the settings of now, after its definitions loaded with them."""
        module = deployment.names.name
        found = run.inspection["modules"][module]
        identity = found["state"].get("current")
        if not identity:
            raise RefusedError(f"{run.target}: {module} is not deployed there.")
        record = found["releases"][identity]
        environment, database = record.get("environment"), record.get("database")
        given = deployment.env_text()
        if database and host_database.is_elsewhere(given, deployment.names):
            raise RefusedError(
                f"{run.target}: {module} has its database in {database['name']} there, and .env.deploy names another "
                f"server: that takes a new release, so run 'deploy'."
            )
        env = host_database.settings(given, database, deployment.names)
        if image := record.get("image"):
            host_preparation.serve(run, deployment, identity, image, env)
            return ChosenRelease(deployment, identity, environment, env, database)
        run.report("verify")
        check = host_preparation.check_of(run, deployment, environment, env)
        run.conversation.ask("check", module=module, folder=None, identity=identity, **check)
        return ChosenRelease(deployment, identity, environment, env, database)

    def request(self, run: HostRun, chosen: ChosenRelease) -> dict[str, Any]:
        """Return what the host is told of one module, its settings among it."""
        return {**super().request(run, chosen), "env": base64.b64encode(chosen.env).decode()}


def roll_back(
    deployments: Sequence[Deployment], release: str | None = None, options: RolloutOptions = DEFAULT_OPTIONS
) -> list[HostOutcome]:
    """Go back to the release before, or to a certain one, with its environment and its settings.

    What a release did to a database is not undone.
    """
    return RollingBack(
        targets_of(deployments, options.hosts), options.progress, options=options, release=release
    ).carry_out()


def change_settings(deployments: Sequence[Deployment], options: RolloutOptions = DEFAULT_OPTIONS) -> list[HostOutcome]:
    """Give the releases that run the settings of ``.env.deploy``."""
    return ChangingSettings(targets_of(deployments, options.hosts), options.progress, options=options).carry_out()


def settings_differ(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names of the settings that were added, removed or changed; never a value."""
    return {
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
        "changed": sorted(key for key in set(old) & set(new) if old[key] != new[key]),
    }

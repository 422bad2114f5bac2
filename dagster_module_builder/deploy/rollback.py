"""Changes without a new release: back to an old one, or new settings."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts import host_database, host_preparation
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_hooks import Facts
from dagster_module_builder.deploy.hosts.host_location import HostLocation
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.targets import Key, targets_of
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.hooks import digests
from dagster_module_builder.deploy.rollout import DEFAULT_OPTIONS, HostOutcome, Rollout, RolloutOptions

#: The number of releases to keep: these changes remove none.
_ALL = 1 << 20


@dataclass(frozen=True)
class ChosenRelease:
    """The release that a module will have on one host, with its settings."""

    deployment: Deployment
    identity: str
    environment: str | None
    env: bytes
    database: Mapping[str, Any] | None = None
    image: str | None = None

    @property
    def module(self) -> str:
        """The module's name."""
        return self.deployment.names.name


def locations(run: HostRun, chosen: Sequence[ChosenRelease]) -> list[HostLocation]:
    """Return the code locations of releases on a host."""
    return [
        run.location(each.deployment, each.identity, each.environment, each.env, each.database, serves=bool(each.image))
        for each in chosen
    ]


@dataclass
class Reselecting(Rollout):
    """A change to another release that the hosts have already, or to other settings."""

    options: RolloutOptions = DEFAULT_OPTIONS
    taken: dict[Key, list[ChosenRelease]] = field(default_factory=dict)

    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        """Return the release that a module will have on a host; nothing is changed there."""
        raise NotImplementedError

    def look(self, run: HostRun) -> list[ChosenRelease]:
        """Return each module's release on a host that has been inspected."""
        run.refuse_unready()
        return [self.choose(run, deployment) for deployment in run.target.deployments]

    def make_ready(self, run: HostRun, chosen: ChosenRelease) -> None:
        """Have the host start what a release needs before the switch, and prove that it loads."""
        if chosen.image:
            host_preparation.serve(run, chosen.deployment, chosen.identity, chosen.image, chosen.env)

    def prepare(self, run: HostRun) -> None:
        """Take the lock, and choose each module's release."""
        modules = run.target.modules
        run.inspect(modules, (), holder(self.action), self.options.wait)
        run.begun += modules
        self.taken[run.target.key] = self.look(run)
        for chosen in self.taken[run.target.key]:
            self.make_ready(run, chosen)
            self.leave_hooks(run, chosen.deployment)
        run.plan(locations(run, self.taken[run.target.key]), force=self.options.force)
        run.report("verified")

    def switch(self, run: HostRun) -> None:
        """Switch a host."""
        put = locations(run, self.taken[run.target.key])
        run.switch(
            run.plan(put, force=self.options.force),
            [self.request(run, release) for release in self.taken[run.target.key]],
            put,
        )

    def request(self, run: HostRun, chosen: ChosenRelease) -> dict[str, Any]:
        """Return a module's values for the request ``switch``."""
        state = {"by": holder()["who"], "server": run.servers.get(chosen.module)}
        return {"module": chosen.module, "release": chosen.identity, "state": state}

    def keep(self, run: HostRun) -> HostOutcome:
        """Keep the change; no release is removed."""
        chosen = self.taken[run.target.key]
        run.keep([release.module for release in chosen], _ALL, {**holder(self.action), "hosts": self.host_names})
        before = {release.module: run.state(release.module).get("current") for release in chosen}
        return HostOutcome(str(run.target), {release.module: release.identity for release in chosen}, before=before)


@dataclass
class RollingBack(Reselecting):
    """A rollback to the previous release, or to a given one."""

    release: str | None = None

    action = "rollback"
    hook_points = ("before_rollback", "after_rollback")

    def facts(self, run: HostRun | None, deployment: Deployment) -> Facts:
        """Return what hooks are told of the release that comes back."""
        taken = self.taken.get(run.target.key, []) if run else []
        chosen = next((each for each in taken if each.deployment is deployment), None)
        if run is None or chosen is None:
            return Facts(self.action, deployment, self.release or "")
        known = run.inspection["modules"][chosen.module]
        commit = known["releases"].get(chosen.identity, {}).get("commit") or ""
        python = "" if run.where or chosen.module in run.servers else run.python(deployment, chosen.environment)
        current = known["state"].get("current") or ""
        return Facts(self.action, deployment, chosen.identity, current, commit, chosen.env, python)

    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        """Return the release to go back to, with its settings.

        Raises:
            RefusedError: There is none, or its environment is gone.
        """
        module = deployment.names.name
        known = run.inspection["modules"][module]
        identity = self.release or _different_release(run, module)
        if not identity:
            raise RefusedError(
                f"{run.target}: {module} has no release before {known['state'].get('current') or 'the first'}."
            )
        record = known["releases"].get(identity)
        if record is None:
            releases = ", ".join(sorted(known["releases"])) or "none"
            raise RefusedError(f"{run.target}: {module} has no good release {identity!r}. Its releases: {releases}.")
        environment = record.get("environment")
        if environment and not run.has_environment(module, environment):
            raise RefusedError(f"{run.target}: the environment of {identity} was removed: deploy its commit again.")
        env = base64.b64decode(run.conversation.ask("settings", module=module, identity=identity)["env"])
        return ChosenRelease(deployment, identity, environment, env, record.get("database"), record.get("image"))


#: The keys of a release's record that identify its content.
_CONTENT = ("digest", "image", "environment", "database")


def _different_release(run: HostRun, module: str) -> str | None:
    """Return the newest release before the current one that differs from it in content or settings.

    A commit that was deployed twice has two releases, and going from one to the other would change nothing. If none
    differs, return the previous one, and add a note.
    """
    known = run.inspection["modules"][module]
    current: str | None = known["state"].get("current")
    previous: str | None = known["state"].get("previous")
    if not previous:
        return None
    earlier = sorted((release for release in known["releases"] if release < previous), reverse=True)
    candidates = [previous, *earlier] if previous in known["releases"] else []
    different = next((release for release in candidates if not _is_same(run, module, release, current)), None)
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
    old_env, new_env = (
        run.conversation.ask("settings", module=module, identity=each)["env"] for each in (release, current)
    )
    return bool(old_env == new_env)


@dataclass
class ChangingSettings(Reselecting):
    """New settings for the current release."""

    action = "env"

    def choose(self, run: HostRun, deployment: Deployment) -> ChosenRelease:
        """Return the current release with the new settings."""
        module = deployment.names.name
        known = run.inspection["modules"][module]
        identity = known["state"].get("current")
        if not identity:
            raise RefusedError(f"{run.target}: {module} is not deployed there.")
        record = known["releases"].get(identity)
        if record is None:
            raise RefusedError(f"{run.target}: the record of {module}'s release {identity!r} is gone. Deploy it again.")
        environment, database = record.get("environment"), record.get("database")
        settings_text = run.target.env_text(deployment)
        if database and host_database.is_elsewhere(settings_text, deployment.names):
            raise RefusedError(
                f"{run.target}: {module} has its database in {database['name']} there, but .env.deploy names another "
                f"server. That needs a new release: run 'deploy'."
            )
        env = host_database.settings(settings_text, database, deployment.names)
        return ChosenRelease(deployment, identity, environment, env, database, record.get("image"))

    def make_ready(self, run: HostRun, chosen: ChosenRelease) -> None:
        """Have the host load the definitions with the new settings."""
        super().make_ready(run, chosen)
        if chosen.image:
            return
        run.report("verify")
        check = host_preparation.check_of(run, chosen.deployment, chosen.environment, chosen.env)
        run.conversation.ask("check", module=chosen.module, folder=None, identity=chosen.identity, **check)

    def request(self, run: HostRun, chosen: ChosenRelease) -> dict[str, Any]:
        """Return a module's values for the request ``switch``, with its settings."""
        return {**super().request(run, chosen), "env": base64.b64encode(chosen.env).decode()}


def roll_back(
    deployments: Sequence[Deployment], release: str | None = None, options: RolloutOptions = DEFAULT_OPTIONS
) -> list[HostOutcome]:
    """Go back to the previous release, or to a given one, with its environment and its settings.

    A release's changes of a database are not undone.
    """
    for deployment in deployments:
        digests(deployment)  # A hook that cannot run is refused before anything begins.
    targets = targets_of(deployments, options.hosts)
    return RollingBack(
        targets, options.progress, compares=options.compare, options=options, release=release
    ).carry_out()


def change_settings(deployments: Sequence[Deployment], options: RolloutOptions = DEFAULT_OPTIONS) -> list[HostOutcome]:
    """Give the current releases the settings in ``.env.deploy``."""
    return ChangingSettings(targets_of(deployments, options.hosts), options.progress, options=options).carry_out()


def settings_differ(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names, and no values, of the settings that were added, removed or changed."""
    return {
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
        "changed": sorted(key for key in set(old) & set(new) if old[key] != new[key]),
    }

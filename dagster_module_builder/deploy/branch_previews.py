"""Previews of branches: made beside production, listed, and removed by a command, a merge or their age.

A preview is a deployment like any other, to a separate base path with a small separate Dagster. So it is all or
nothing, too: one that fails leaves the one before, or nothing. A command only ever removes previews of the repository
and the deployment that it is about, though a host may have those of others.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.deploy import branches
from dagster_module_builder.deploy.deploy import Options, deploy_to, release_of
from dagster_module_builder.deploy.hosts import host_hooks
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.hosts.host_hooks import Facts
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import targets_of
from dagster_module_builder.deploy.model.branch_preview import (
    PreviewPlace,
    as_preview,
    name_of,
    place_of,
)
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.hooks import hooks_at
from dagster_module_builder.deploy.pipelines.description import settings_of
from dagster_module_builder.deploy.setup import set_up
from dagster_module_builder.programs.last_lines import heard_by

#: In a module's ``storage.py``, if it can read what production stored.
READS_UPSTREAM = b"DAGSTER_UPSTREAM_STORAGE_DIR"


@dataclass
class Previews:
    """The previews of a deployment, on the host for them.

    Attributes:
        deployments: The deployment, of each module.
        progress: Told which step the host is in.
        place: Where they go.
        repository: The name of the repository that they are of.
    """

    deployments: Sequence[Deployment]
    progress: Progress = lambda *_: None
    place: PreviewPlace = field(init=False)
    repository: str = field(init=False)

    def __post_init__(self) -> None:
        self.place = place_of(self.deployments)
        self.repository = branches.identity_of(branches.repository_of(self.deployments[0].module))

    @property
    def deployment(self) -> str:
        """The deployment's name."""
        return self.deployments[0].name

    def name_of(self, branch: str) -> str:
        """Return the name of a branch's preview."""
        return name_of(self.repository, self.deployment, branch)

    @contextlib.contextmanager
    def host(self) -> Iterator[HostRun]:
        """Yield a conversation with the host for previews."""
        (target,) = targets_of([as_preview(self.deployments[0], self.place, "0" * 10, "none", self.place.ports[0])])
        run = HostRun(target, self.progress)
        try:
            run.report("connect")
            with heard_by(run.report):
                run.conversation.open()
                yield run
        finally:
            run.close()

    def all(self) -> list[dict[str, Any]]:
        """Return the previews of this repository and this deployment, oldest first."""
        with self.host() as run:
            return self.mine(run)

    def mine(self, run: HostRun) -> list[dict[str, Any]]:
        """Return the same over a conversation that is open."""
        found = run.conversation.ask("previews", base=self.place.base_path)["previews"]
        return [
            self.shown(run, record)
            for record in found
            if (record["repository"], record["deployment"]) == (self.repository, self.deployment)
        ]

    def shown(self, run: HostRun, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return what people need to know of a preview."""
        port = int(record["port"])
        host, address = str(run.target), run.target.host.address
        keys = ("name", "branch", "commit", "by", "created", "updated", "expires", "reads", "pushed", "complete")
        return {
            "host": host,
            **{key: record.get(key) for key in keys},
            "modules": record.get("modules") or {},
            "port": port,
            "url": f"http://127.0.0.1:{port}",
            "tunnel": shlex.join([*address.typed(), "-N", "-L", f"{port}:127.0.0.1:{port}"]),
            "address": self.place.address_of(str(record["name"]), port),
            **{key: bool(record.get(key)) for key in ("running", "expired")},
        }


@dataclass(frozen=True)
class MakeOptions:
    """How a preview is made.

    Attributes:
        allow_dirty: Accept commits that are not pushed, and changes that are not committed, which are not in it.
        wait: Seconds to wait for another one that deploys the same branch.
    """

    allow_dirty: bool = False
    wait: float = 0.0


def planned(previews: Previews, branch: str, options: MakeOptions) -> dict[str, Any]:
    """Return what ``make`` would do; nothing is changed."""
    deployments = _as_previews(previews, branch, previews.place.ports[0])
    releases = {each.names.name: release_of(each, allow_dirty=options.allow_dirty) for each in deployments}
    name = previews.name_of(branch)
    existing = previews.all()
    before = next((record for record in existing if record["name"] == name), None)
    where = f"{previews.place.path_of(name)} on {deployments[0].host_names[0]}"
    would = [
        f"Would {'update' if before else 'make'} the preview of {branch} in {where}",
        *(f"Would deploy {module} {release.identity}" for module, release in releases.items()),
        *(f"Would remove the preview of {record['branch']}, which is too old" for record in _expired(existing, name)),
    ]
    return {
        "host": deployments[0].host_names[0], "name": name, "branch": branch,
        "commit": next(iter(releases.values())).staged.source.commit,
        "modules": {module: release.identity for module, release in releases.items()},
        "would": would, "changes": _changes(previews, deployments, branch),
    }  # fmt: skip


def make(previews: Previews, branch: str, options: MakeOptions) -> dict[str, Any]:
    """Deploy a branch to its preview, which is made if there is none; remove those that are too old.

    Returns:
        What people need to know of it, with ``notes``, ``changes`` and the branches of the ``removed`` previews.

    Raises:
        RefusedError: It cannot be made; a new one was removed again.
        DeployError: The branch does not run; a new preview was removed again, an earlier one has its old release.
    """
    name, place = previews.name_of(branch), previews.place
    # What is wrong here is found before anything is made on the host.
    first = _as_previews(previews, branch, place.ports[0])
    releases = {each.names.name: release_of(each, allow_dirty=options.allow_dirty) for each in first}
    with previews.host() as run:
        removed, notes = _remove_expired(previews, run, name)
        record = _record(previews, branch, releases)
        asked = {"name": name, "record": record, "ports": list(place.ports), "keep_days": place.keep_days}
        reserved = run.conversation.ask("reserve preview", base=place.base_path, **asked)
        deployments = _as_previews(previews, branch, int(reserved["port"]))
        try:
            outcomes_notes = _deploy(previews, deployments, releases, options)
        except BaseException:
            if reserved["new"]:
                _take_back(previews, run, name)
            raise
        noted = run.conversation.ask("note preview", base=place.base_path, name=name, more={})
        shown = previews.shown(run, {**noted, "name": name, "running": True})
    notes += [*outcomes_notes, *_older_modules(place, releases)]
    return {**shown, "notes": notes, "removed": removed, "changes": _changes(previews, deployments, branch)}


def _as_previews(previews: Previews, branch: str, port: int) -> list[Deployment]:
    having = branches.with_branch(previews.deployments, branch)
    return [as_preview(each, previews.place, previews.name_of(branch), branch, port) for each in having]


def _record(previews: Previews, branch: str, releases: Mapping[str, Release]) -> dict[str, Any]:
    """Return what the preview's file says."""
    first = next(iter(releases.values()))
    repository = branches.repository_of(first.deployment.module)
    return {
        "branch": branch,
        "commit": first.staged.source.commit,
        "repository": previews.repository,
        "deployment": previews.deployment,
        "by": holder()["who"],
        "reads": previews.place.storage,
        "pushed": repository.commit(f"refs/remotes/origin/{branch}") is not None,
        "modules": {module: release.identity for module, release in releases.items()},
    }


def _deploy(
    previews: Previews, deployments: Sequence[Deployment], releases: Mapping[str, Release], options: MakeOptions
) -> list[str]:
    """Start the preview's Dagster, and deploy the branch to it; return notes for the user."""
    (prepared,) = set_up(deployments, start=True, progress=previews.progress)
    if "error" in prepared:
        raise RefusedError(str(prepared["error"]))
    made = {each.names.name: _at_port(releases[each.names.name], each) for each in deployments}
    deploying = Options(allow_dirty=options.allow_dirty, wait=options.wait, settle=False)
    outcomes = deploy_to(targets_of(deployments), deployments, deploying, previews.progress, made)
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    return [*prepared["notes"], *(note for outcome in outcomes for note in outcome.notes), *problems]


def _at_port(release: Release, deployment: Deployment) -> Release:
    """Return a release for the same deployment with its real port."""
    release.strategy.deployment = deployment
    return Release(**{**vars(release), "deployment": deployment})


def _take_back(previews: Previews, run: HostRun, name: str) -> None:
    """Remove a new preview that failed, without hiding why it did."""
    with contextlib.suppress(BuilderError):
        _drop(previews, run, name, unfinished=True)


def _older_modules(place: PreviewPlace, releases: Mapping[str, Release]) -> list[str]:
    """Return a note for each module that cannot read what production stored."""
    if place.storage is None:
        return [
            "Production's storage is not named ('storage:' below 'preview:'): inputs have to be materialized first."
        ]
    lacking = []
    for name, release in releases.items():
        texts = (release.staged.read(path) or b"" for path in release.staged.paths if path.endswith(".py"))
        if not any(READS_UPSTREAM in text for text in texts):
            lacking.append(name)
    return [f"{name} cannot read what production stored: run 'upgrade {name}'." for name in lacking]


def _changes(previews: Previews, deployments: Sequence[Deployment], branch: str) -> dict[str, Any]:
    """Return what the branch changes of each module, compared with the one that it will be merged into."""
    base = next((settings_of(each)["branch"] for each in previews.deployments if each.pipeline), None)
    found = {each.names.name: branches.changes_of(each.module, branch, base) for each in deployments}
    return {
        module: {"from": common, "commits": commits, "files": files}
        for module, (common, commits, files) in found.items()
    }


def _expired(records: Sequence[Mapping[str, Any]], but: str = "") -> list[Mapping[str, Any]]:
    return [record for record in records if record["expired"] and record["name"] != but]


def _remove_expired(previews: Previews, run: HostRun, but: str) -> tuple[list[str], list[str]]:
    """Remove the previews that are too old; return their branches, and notes on those that could not be removed."""
    removed, notes = [], []
    for record in _expired(previews.mine(run), but):
        try:
            _remove_one(previews, run, record)
            removed.append(str(record["branch"]))
        except BuilderError as error:
            notes.append(f"The preview of {record['branch']} is too old, but could not be removed: {error}")
    return removed, notes


def chosen(previews: Previews, run: HostRun, branch: str | None, *, merged: bool) -> list[dict[str, Any]]:
    """Return the previews to remove: the one of a branch, those that are merged or gone, and those that are too old.

    Raises:
        ToolError: The remote does not say which branches there are.
    """
    every = previews.mine(run)
    found = _expired(every)
    if branch is not None:
        found = [*found, *(record for record in every if record["branch"] == branch)]
    if merged:
        found = [*found, *branches.finished(previews.deployments[0].module, every)]
    names = {record["name"] for record in found}
    return [record for record in every if record["name"] in names]


def remove(previews: Previews, branch: str | None, *, merged: bool, dry_run: bool) -> list[dict[str, Any]]:
    """Remove previews with all that they stored; see ``chosen``.

    Args:
        previews: The previews.
        branch: The branch whose preview is removed.
        merged: Remove those whose branch is merged or gone.
        dry_run: Only return which would be removed.

    Returns:
        The removed previews; ``error`` says why one was not removed.
    """
    results = []
    with previews.host() as run:
        for record in chosen(previews, run, branch, merged=merged):
            problem = None
            try:
                if not dry_run:
                    _remove_one(previews, run, record)
            except BuilderError as error:
                problem = str(error)
            results.append(
                {**record, "removed": not dry_run and problem is None, **({"error": problem} if problem else {})}
            )
    return results


def _remove_one(previews: Previews, run: HostRun, record: Mapping[str, Any]) -> None:
    run.report(f"remove {record['branch']}")
    _hooks_before_removal(previews, record)
    _drop(previews, run, str(record["name"]))


def _drop(previews: Previews, run: HostRun, name: str, *, unfinished: bool = False) -> None:
    run.conversation.ask(
        "drop preview", base=previews.place.base_path, name=name, holder=holder(), unfinished=unfinished
    )


def _hooks_before_removal(previews: Previews, record: Mapping[str, Any]) -> None:
    """Run the hooks ``before_remove`` of a preview's modules on the host, with the preview's settings.

    Raises:
        HookError: One failed: the preview stays.
    """
    mine = [each for each in previews.deployments if each.names.name in record["modules"]]
    places = [
        as_preview(each, previews.place, str(record["name"]), str(record["branch"]), int(record["port"]))
        for each in mine
    ]
    with_hooks = [each for each in places if hooks_at(each, "before_remove")]
    for target in targets_of(with_hooks) if with_hooks else ():
        run = HostRun(target, previews.progress)
        try:
            run.inspect(target.modules)
            for deployment in target.deployments:
                current = run.state(deployment.names.name).get("current")
                if current:
                    facts = Facts("remove", deployment, release=current, env=deployment.env_text())
                    host_hooks.run_on_host(run, facts, "before_remove")
        finally:
            run.close()

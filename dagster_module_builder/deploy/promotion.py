"""Promote: the very release that runs for one deployment, with the settings of another one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.deploy import Options, built, deploy_to, release_from
from dagster_module_builder.deploy.each_host import in_parallel
from dagster_module_builder.deploy.host_side.manifest import path_of
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.host_session import Progress
from dagster_module_builder.deploy.hosts.targets import targets_of
from dagster_module_builder.deploy.log_entries import operations
from dagster_module_builder.deploy.model.deployment import Deployment, lacking_settings
from dagster_module_builder.deploy.model.release import ReleaseSource, Staged, manifest_line
from dagster_module_builder.deploy.rollout import HostOutcome
from dagster_module_builder.deploy.strategies.base import Strategy, load_strategy
from dagster_module_builder.deploy.strategies.images import credentials
from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder
from dagster_module_builder.shared_files.formats import env_file


class Promoted(Strategy):
    """Brings the files that another host had, and the image by its digest."""

    def __init__(self, usual: Strategy, record: Mapping[str, Any], files: Mapping[str, bytes], origin: str) -> None:
        self.serves = usual.serves
        self.tools_there = usual.tools_there if usual.serves else ()
        self.record, self.contents, self.origin = record, files, origin

    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Never called: the files were taken from a host."""
        raise NotImplementedError

    def build(self, staged: Staged, report: object) -> Mapping[str, Any]:  # noqa: ARG002 - nothing is built
        """Return the image of the release, and where it came from."""
        names = ("image", "tag", "platform") if self.serves else ()
        return {"promoted_from": self.origin, **{name: self.record[name] for name in names if self.record.get(name)}}

    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, release_folder: ReleaseFolder) -> None:  # noqa: ARG002
        """Send the files in the conversation, make the links, and have the host pull the image."""
        lines = staged.files.splitlines()
        kinds = {path_of(line): line.split(" ", 2)[1] for line in lines}
        if release_folder.again:
            release_folder.run("find", release_folder.path, "-mindepth", "1", "-delete")
        release_folder.put((kinds[path], path, self.contents[path]) for path in kinds if kinds[path] != "l")
        for path in (path for path, kind in kinds.items() if kind == "l"):
            target = f"{release_folder.path}/{path}"
            release_folder.run("mkdir", "-p", target.rpartition("/")[0])
            release_folder.run("ln", "-s", "--", self.contents[path].decode("utf-8", "surrogateescape"), target)
        if self.serves:
            image = str(release_folder.made["image"])
            release_folder.conversation.ask("fetch", image=image, **credentials(image))


def promote(
    sources: Sequence[Deployment],
    deployments: Sequence[Deployment],
    options: Options,
    release: str | None = None,
    progress: Progress = lambda *_: None,
) -> list[HostOutcome]:
    """Give the hosts of one deployment the release that runs on those of another one.

    Args:
        sources: The deployment whose release is taken, for each module.
        deployments: The deployment that gets it; it has its own settings.
        options: Those of ``deploy``.
        release: The release to take; None for the current one.
        progress: Told which step each host is in.

    Raises:
        RefusedError: It never ran there, or not on all of the hosts, or its files are not those that were deployed.
        DeployError: A host failed; all hosts were rolled back.
    """
    # Nothing is built, so the hooks around that have nothing to do.
    made = {each.module: built(each, progress) for each in taken_from(sources, deployments, release, progress)}
    return deploy_to(targets_of(deployments, options.hosts), deployments, options, progress, made)


def taken_from(
    sources: Sequence[Deployment], deployments: Sequence[Deployment], release: str | None, progress: Progress
) -> list[Release]:
    """Return the releases that a promotion brings; it raises the RefusedErrors of ``promote``."""
    if any(source.folder == deployment.folder for source in sources for deployment in deployments):
        raise RefusedError("A deployment cannot be promoted to itself.")
    wanted = {deployment.names.name: deployment for deployment in deployments}
    lacking = sorted({source.names.name for source in sources} ^ set(wanted))
    if lacking:
        raise RefusedError(f"Only one of the deployments has {', '.join(lacking)}: pass --module with the others.")
    return [_taken(source, wanted[source.names.name], release, progress) for source in sources]


def _taken(source: Deployment, deployment: Deployment, wanted: str | None, progress: Progress) -> Release:
    """Return the release of one module, as it is on the hosts of another deployment."""
    runs = [HostRun(target, progress) for target in targets_of([source])]
    try:
        records = in_parallel(runs, lambda run: _ran(run, source, wanted))
        if len({record["digest"] for record in records}) > 1:
            raise RefusedError(f"The hosts of {source.name} have different releases of {source.names.name}: deploy it.")
        return _as_release(runs[0], source, deployment, records[0])
    finally:
        in_parallel(runs, HostRun.close)


def _ran(run: HostRun, source: Deployment, wanted: str | None) -> Mapping[str, Any]:
    """Return the record of a release that has been kept on a host.

    Raises:
        RefusedError: There is none, or it is not known that it ran.
    """
    module = source.names.name
    run.inspect([module])
    known = run.inspection["modules"][module]
    identity = wanted or known["state"].get("current")
    record = known["releases"].get(identity)
    if record is None:
        raise RefusedError(f"{run.target}: {module} has no release {identity or 'yet'} there: deploy it first.")
    if run.inspection["journal"]:
        raise RefusedError(f"{run.target}: a deployment is in progress or was interrupted: see 'deploy.status'.")
    log = operations(run.conversation.ask("log", module=module)["log"])
    if not any(each.get("result") == "good" and each.get("release") == identity for each in log):
        raise RefusedError(f"{run.target}: {module} {identity} never ran there: no deployment in the log kept it.")
    location = (run.inspection["dagster"].get("locations") or {}).get(source.names.snake)
    if not wanted and not (location and location["loaded"]):
        raise RefusedError(f"{run.target}: Dagster has not loaded {module} {identity}: see 'deploy.status'.")
    return {**record, "release": identity}


def _as_release(run: HostRun, source: Deployment, deployment: Deployment, record: Mapping[str, Any]) -> Release:
    usual = load_strategy(deployment.strategy)
    image = record.get("image")
    if bool(image) != usual.serves:
        how = f"{source.name} is deployed by {source.strategy}, and {deployment.name} by {deployment.strategy}"
        raise RefusedError(f"{how}: only one of them has an image. Deploy the commit instead.")
    if image and "@sha256:" not in str(image):
        raise RefusedError(f"{image} is in no registry, so that other hosts cannot pull it: deploy its commit instead.")
    module = source.names.name
    files = _files(run, module, str(record["release"]))
    whole = str(run.conversation.ask("contents", module=module, identity=record["release"])["manifest"])
    if hashlib.sha256(whole.encode()).hexdigest() != record.get("digest"):
        what = f"the manifest of {module} {record['release']}"
        raise RefusedError(f"{run.target}: {what} is not the one that was deployed.")
    sent = "".join(line for line in whole.splitlines(keepends=True) if path_of(line) in files)
    _refuse_others(run, sent, files)
    origin = ReleaseSource(record.get("commit"), record.get("branch"), dirty=bool(record.get("dirty")))
    staged = Staged(whole, sum(map(len, files.values())), origin, files.get)
    if image:
        staged = replace(staged, sent=sent)
    strategy = Promoted(usual, record, files, f"{source.name} {record['release']}")
    strategy.deployment = deployment
    settings_text = deployment.env_text()
    if problems := lacking_settings(deployment, env_file.values(settings_text)):
        raise RefusedError("\n".join(problems))
    return release_from(deployment, strategy, staged, settings_text, has_code=not image)


def _files(run: HostRun, module: str, identity: str) -> dict[str, bytes]:
    """Take a release's files from a host."""
    run.report("take")
    files: dict[str, bytes] = {}
    begin: int | None = 0
    while begin is not None:
        answer = run.conversation.ask("take", module=module, identity=identity, begin=begin)
        files |= {path: base64.b64decode(text) for path, text in answer["files"].items()}
        begin = answer["next"]
    return files


def _refuse_others(run: HostRun, lines: str, files: Mapping[str, bytes]) -> None:
    """Refuse files that are not those of the manifest: a host may say anything."""
    listed = {path_of(line): line for line in lines.splitlines(keepends=True)}
    wrong = [path for path, line in listed.items() if manifest_line(path, line.split(" ", 2)[1], files[path]) != line]
    if wrong:
        raise RefusedError(f"{run.target}: {wrong[0]} is not the file that was deployed.")

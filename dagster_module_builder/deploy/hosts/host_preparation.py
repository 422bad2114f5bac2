"""A new release on one host: its environment, its files, and the check that its definitions load."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dagster_module_builder.base.errors import BuilderError, RefusedError, ToolError
from dagster_module_builder.deploy.connection.conversation import HostError
from dagster_module_builder.deploy.host_side.compose import tells_absence
from dagster_module_builder.deploy.hosts import host_database, host_files
from dagster_module_builder.deploy.hosts.host_release import Release
from dagster_module_builder.deploy.hosts.host_requests import beginning, serving
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.model.release import differences
from dagster_module_builder.deploy.strategies.images import credentials, registry_of
from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder
from dagster_module_builder.shared_files.formats import env_file

#: Free space that a new environment needs, in bytes.
ENVIRONMENT = 1 << 30


def prepare(
    run: HostRun,
    releases: Sequence[Release],
    wait: float,
    begun_by: Mapping[str, Any],
    judge: Callable[[], object],
    hooks: Callable[[Release, str], object] = lambda *_: None,
    begins: Callable[[Release], object] = lambda _: None,
) -> None:
    """Take the lock, check the host, and bring the releases there, verified. Nothing that runs is touched.

    Args:
        run: The host.
        releases: The releases to bring.
        wait: Seconds to wait for the lock.
        begun_by: Who deploys.
        judge: Refuses a release that cannot be merged, before anything is built or sent.
        hooks: Runs the hooks of a release at a point.
        begins: Told of each release before its first step.
    """
    if any(release.strategy.is_bulky(release.staged) for release in releases):
        run.remote.prepare_bulk()
    tools = sorted({tool for release in releases for tool in release.strategy.tools_there})
    modules = [release.module for release in releases]
    begin = [
        ("begin", beginning(release.module, release.identity, release.staged, shares=release.strategy.shares))
        for release in releases
    ]
    begun = run.open_with([("open", run.opening(modules, tools, begun_by, wait)), *begin])
    run.begun += modules
    run.refuse_unready()
    for release in releases:
        begins(release)
    judge()
    for release, place in zip(releases, begun, strict=True):
        bring(run, release, place, begun_by, hooks)


def bring(
    run: HostRun,
    release: Release,
    begun: Mapping[str, Any],
    holder: Mapping[str, Any],
    hooks: Callable[[Release, str], object],
) -> None:
    """Bring one release to the host, and check that it is complete and loads."""
    run.report("prepare")
    hooks(release, "before_build")
    environment = run.environment(release)
    # Only a container can say whether its interpreter is still the one of the environment.
    if environment is not None and (run.where or not run.has_environment(release.module, environment)):
        build(run, release, environment)
    if release.database:
        fetch_database(run, release, release.database)
    hooks(release, "after_build")
    hooks(release, "before_transfer")
    run.report("transfer")
    transfer(run, release, begun)
    hooks(release, "after_transfer")
    hooks(release, "before_verify")
    run.report("verify")
    verify(run, release, begun, holder)
    hooks(release, "after_verify")


def build(run: HostRun, release: Release, environment: str) -> None:
    """Build the release's environment."""
    run.report("environment")
    run.conversation.ask(
        "environment",
        module=release.module,
        identity=environment,
        requirements=release.requirements,
        constraints=release.constraints,
        python=run.environment_python(release.deployment),
        need=ENVIRONMENT,
        where=run.where,
        service=run.target.first.dagster_folder if run.where is None else None,
    )


def fetch_database(run: HostRun, release: Release, database: Mapping[str, Any]) -> None:
    """Bring the image of the module's database to the host, and the files that it mounts."""
    settings = run.files().get(host_files.paths(run.target.first.dagster_folder)[env_file.NAME])
    image = host_database.image(database, settings, release.env)
    answer = run.conversation.ask("run", command=["docker", "image", "inspect", "--format", "{{.Id}}", image])
    if answer["code"]:
        if not tells_absence(answer["code"], answer["said"]):
            raise ToolError(f"{run.target}: docker failed: {answer['said'].strip() or 'it did not say why'}")
        run.report("database image")
        answer = run.conversation.ask("run", command=["docker", "pull", "--quiet", image], limit=1800)
        if answer["code"]:
            raise RefusedError(
                f"{run.target}: {image}, which the database of {release.module} needs, could not be pulled: "
                f"{answer['said'].strip()}"
            )
    for place, source in database["files"].items():
        text = base64.b64encode(release.staged.read(source) or b"").decode()
        run.conversation.ask("write", path=place, text=text, mode=0o644)


def transfer(run: HostRun, release: Release, begun: Mapping[str, Any], *, again: bool = False) -> None:
    """Send the files."""
    place = replace(
        release_folder(run, release, begun["folder"], begun["current"]), again=again, unlinked=begun["lacking"]
    )
    release.strategy.transfer(release.deployment.module, release.deployment.own, release.staged, place)


def release_folder(run: HostRun, release: Release, folder: str, current: str | None) -> ReleaseFolder:
    """Return the folder of a release on the host, for the strategy."""
    before = run.inspection["modules"][release.module]["releases"].get(current) or {}
    return ReleaseFolder(
        run.remote,
        run.conversation,
        folder,
        current and run.on_host("modules", release.module, "releases", current),
        run.on_host("modules", release.module, "repo.git"),
        release.identity,
        made=release.made,
        source=str(before.get("commit")),
    )


def verify(run: HostRun, release: Release, begun: Mapping[str, Any], holder: Mapping[str, Any]) -> None:
    """Have the host verify a release; send it once more if it differs, since rsync may miss a change."""
    request = {
        "module": release.module,
        "identity": release.identity,
        "wanted": hashlib.sha256(release.staged.files.encode()).hexdigest(),
        "record": release.record(holder, run.environment(release)),
        **proof_of(run, release),
    }
    try:
        answer = run.conversation.ask("verify", **request)
    except HostError as error:
        if error.code != "manifest":
            raise
        transfer(run, release, begun, again=True)
        answer = verified_again(run, request, release)
    run.seconds["validate"] = run.seconds.get("validate", 0.0) + answer["seconds"]
    if "server" in answer:
        run.servers[release.module] = answer["server"]


def proof_of(run: HostRun, release: Release) -> dict[str, Any]:
    """Return how the host checks that a release's definitions load: ``check``, or ``serve`` with ``contents``."""
    if not release.strategy.serves:
        return {"check": check_of(run, release.deployment, run.environment(release), release.env)}
    server = serving(release.deployment, release.identity, str(release.made["image"]), release.env, run.storage_folder)
    return {"serve": server, "contents": release.staged.manifest}


def verified_again(run: HostRun, request: Mapping[str, Any], release: Release) -> dict[str, Any]:
    """Have the host verify a release a second time, and name the files that still differ."""
    try:
        return run.conversation.ask("verify", **request)
    except HostError as error:
        if error.code != "manifest":
            raise
        different = "; ".join(differences(release.staged.files, error.details["manifest"]))
        raise BuilderError(f"{run.target}: the files that arrived differ from those sent: {different}.") from None


def check_of(run: HostRun, deployment: Deployment, environment: str | None, env: bytes) -> dict[str, Any]:
    """Return the values of the request ``check``, which loads definitions."""
    return {
        "python": run.python(deployment, environment),
        "package": deployment.names.definitions,
        "environ": env_file.values(env),
        "path": deployment.source,
        "where": run.where,
    }


def fetch_image(run: HostRun, deployment: Deployment, image: str) -> None:
    """Have the host pull a release's image.

    The image's name may come from the host, so only the password of the deployment's own registry is sent.
    """
    run.report("image")
    is_own = registry_of(image) == str(deployment.own.get("registry"))
    run.conversation.ask("fetch", image=image, **(credentials(image) if is_own else {}))


def serve(run: HostRun, deployment: Deployment, identity: str, image: str, env: bytes) -> None:
    """Start the code server of a release that the host has already, with these settings."""
    fetch_image(run, deployment, image)
    run.report("verify")
    module = deployment.names.name
    server = serving(deployment, identity, image, env, run.storage_folder)
    answer = run.conversation.ask("serve", module=module, identity=identity, **server)
    run.servers[module] = answer["server"]

"""The Dagster of a native host, made, started and stopped by ``deploy.setup``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts import host_environment, host_service, host_storage
from dagster_module_builder.deploy.hosts.host_preparation import ENVIRONMENT
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.disclosure.messages import remember_texts
from dagster_module_builder.modules.dagster_check import CONSTRAINTS
from dagster_module_builder.modules.hashes import HASHES, with_hashes
from dagster_module_builder.shared_files.formats import env_file
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE, template_folder
from dagster_module_builder.transactions import module_files

#: Notes for a host whose systemd ends Dagster at logout, and for one without systemd.
_LINGER = (
    "systemd ends Dagster when {user} logs out, and does not start it at boot: run "
    "'sudo loginctl enable-linger {user}' on the host."
)
#: The variable with the storage whose values are read if a module's own storage lacks them.
UPSTREAM = "DAGSTER_UPSTREAM_STORAGE_DIR"
_NO_SYSTEMD = (
    "{user} has no systemd on the host, so Dagster does not start at boot or restart after a failure: "
    "run 'deploy.setup {name} --start' then. To start it by hand on the host: {by_hand}"
)


def start(run: HostRun, environ: Mapping[str, str] = os.environ) -> tuple[list[str], list[str]]:
    """Make and start the host's own Dagster; called again, change nothing.

    Args:
        run: The host, whose lock is held.
        environ: This machine's variables; one may hold a password.

    Returns:
        The files that were made, and notes for the user.

    Raises:
        RefusedError: It cannot be started; what was built is kept for the next time.
    """
    target, folder = run.target, run.target.first.dagster_folder
    if "error" not in run.inspection["dagster"] and not run.has_service:
        return [], [f"Another Dagster answers at {target.host.url}; it was left as it is."]
    port = host_service.port_of(target, target.host.url)
    postgresql, is_preview = target.first.data["dagster"].get("postgresql"), target.first.preview_name is not None
    environment = _environment(run, postgresql)
    asked = run.conversation.ask
    asked("service port", folder=folder, port=port)
    run.report("Dagster's environment")
    built = asked(
        "service environment",
        folder=folder,
        identity=environment.identity,
        requirements=environment.requirements,
        constraints=environment.constraints,
        python=interpreter(run),
        need=ENVIRONMENT,
    )["built"]
    files = asked(
        "service files",
        folder=folder,
        environment=environment.identity,
        port=port,
        instance=host_service.small_instance() if is_preview else host_service.instance(postgresql),
        environ={**_password(run, postgresql, environ), **_storages(run)},
        daemon=not is_preview,
    )
    run.report("start")
    answer = asked("start service", folder=folder, changed=bool(files["changed"] or built))
    notes = [f"{path} was edited on the host, and left as it is." for path in files["kept"]]
    return files["changed"], [*notes, *_notes(run, answer)]


def stop(run: HostRun, *, ends_runs: bool) -> list[str]:
    """Stop the host's own Dagster; its data is kept.

    Args:
        run: The host, whose lock is held.
        ends_runs: Stop it even while runs are in progress, which end with it.

    Returns:
        Notes for the user.
    """
    if not run.has_service:
        return ["'deploy.setup --start' did not start a Dagster there: nothing was stopped."]
    run.report("stop")
    folder = run.target.first.dagster_folder
    stopped = run.conversation.ask("stop service", folder=folder, ends_runs=ends_runs)["stopped"]
    return [f"Stopped Dagster's {' and '.join(stopped)}." if stopped else "Dagster was not running."]


def planned(run: HostRun) -> list[str]:
    """Return what ``start`` would do, as sentences."""
    if "error" not in run.inspection.get("dagster", {"error": ""}):
        return [] if run.has_service else ["Would leave the Dagster that answers already as it is."]
    port = host_service.port_of(run.target, run.target.host.url)
    packages = ", ".join(host_service.versions(lock_of(run)))
    return [
        f"Would build Dagster's environment with {interpreter(run)}: {packages}",
        f"Would start Dagster's webserver at 127.0.0.1:{port}, and its daemon",
    ]


def interpreter(run: HostRun) -> str:
    """Return the interpreter for Dagster's environment."""
    chosen = run.target.first.environment
    # The "python" of kind "host" is that environment's own, which does not exist yet.
    named = {"python": "python3"} if chosen["kind"] == "host" else chosen
    return host_environment.interpreter(run.target, named)


def _environment(run: HostRun, postgresql: str | None) -> host_service.ServiceEnvironment:
    named = interpreter(run)
    identity = run.inspection["interpreters"].get(named)
    if identity is None:
        raise RefusedError(f"{run.target}: {named} is not installed on the host: install it.")
    host_service.refuse_old(run.target, identity)
    return host_service.environment(lock_of(run), identity, has_postgresql=postgresql is not None)


def lock_of(run: HostRun) -> str:
    """Return the workspace's constraints, with hashes; if it has none, the template's."""
    module = run.target.first.module
    workspace, own = (
        module.parent.parent,
        template_folder(WORKSPACE_TEMPLATE) / "{{cookiecutter.name}}",
    )
    places = ((workspace, CONSTRAINTS), (module, Path(CONSTRAINTS.name)), (own, CONSTRAINTS))
    return next(text for folder, name in places if (text := _locked(folder, folder / name)) is not None)


def _locked(folder: Path, constraints: Path) -> str | None:
    text, lock = (module_files.text(folder, path) for path in (constraints, constraints.with_name(HASHES)))
    return None if text is None else with_hashes(text, lock or "")


def _password(run: HostRun, postgresql: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable with the password for Dagster's server, unless the host has it already."""
    if postgresql is None:
        return {}
    if password := environ.get(host_service.GIVEN):
        remember_texts([password])
        return {host_service.PASSWORD: password}
    if run.inspection["service"]["has_password"]:
        return {}
    raise RefusedError(
        f"{run.target}: the password for {postgresql} is missing: set {host_service.GIVEN} for this command."
    )


def _storages(run: HostRun) -> dict[str, str]:
    """Return the variables with where a preview stores assets, and where it reads those of production.

    They are set whatever the login has set: that may be production's.

    Raises:
        RefusedError: Both are the same.
    """
    deployment = run.target.first
    if deployment.preview_name is None:
        return {}
    chosen = env_file.values(deployment.env_text(fetch=False)).get(host_storage.VARIABLE)
    own, upstream = chosen or run.on_host(host_storage.FOLDER), deployment.data["preview"].get("storage")
    if upstream and f"{own.rstrip('/')}/".startswith(f"{upstream.rstrip('/')}/"):
        raise RefusedError(
            f"The preview would store assets in {own}, which is production's: set PREVIEW_{host_storage.VARIABLE} to "
            f"another place, or remove it."
        )
    return {host_storage.VARIABLE: own, UPSTREAM: upstream or ""}


def _notes(run: HostRun, answer: Mapping[str, Any]) -> list[str]:
    if answer["runs"]:
        return [f"{answer['runs']} runs are in progress, so Dagster was not restarted: run the command again later."]
    said = {"user": run.inspection["user"], "name": run.target.first.name, "by_hand": " ".join(answer["by_hand"])}
    if run.target.first.preview_name is not None:
        # "deploy.preview" starts it again.
        return []
    if answer["by"] == "processes":
        return [_NO_SYSTEMD.format(**said)] if answer["started"] else []
    return [] if answer["lingers"] else [_LINGER.format(**said)]

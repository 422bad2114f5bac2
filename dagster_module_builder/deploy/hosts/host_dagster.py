"""The Dagster of a native host, made, started and stopped by ``deploy.setup``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.hosts import host_environment, host_service
from dagster_module_builder.deploy.hosts.host_preparation import ENVIRONMENT
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.disclosure.messages import remember_texts
from dagster_module_builder.modules.dagster_check import CONSTRAINTS
from dagster_module_builder.modules.hashes import HASHES, with_hashes
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE, template_folder
from dagster_module_builder.transactions import module_files

#: What a person should know where systemd does not keep what it runs, and where there is none.
_LINGER = (
    "systemd ends Dagster when {user} logs out, and does not start it with the machine: run "
    "'sudo loginctl enable-linger {user}' on the host."
)
_NO_SYSTEMD = (
    "There is no systemd for {user} on the host, so Dagster does not start with the machine, nor again when it fails: "
    "run 'deploy.setup {name} --start' then. By hand, on the host: {by_hand}"
)


def start(run: HostRun, environ: Mapping[str, str] = os.environ) -> tuple[list[str], list[str]]:
    """Have the host's own Dagster run; said again, change nothing.

    Args:
        run: The host, whose lock is held.
        environ: This machine's variables; one may have a password.

    Returns:
        The files that were made, and what a person should know.

    Raises:
        RefusedError: It cannot be started; what was built stays for the next time.
    """
    target, folder = run.target, run.target.first.dagster_folder
    if "error" not in run.inspection["dagster"] and not run.has_service:
        return [], [f"A Dagster answers at {target.host.url} that this program did not start; it was left as it is."]
    port = host_service.port_of(target, target.host.url)
    postgresql = target.first.data["dagster"].get("postgresql")
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
        instance=host_service.instance(postgresql),
        environ=_password(run, postgresql, environ),
    )
    run.report("start")
    answer = asked("start service", folder=folder, changed=bool(files["changed"] or built))
    notes = [f"{path} was edited on the host, and left as it is." for path in files["kept"]]
    return files["changed"], [*notes, *_notes(run, answer)]


def stop(run: HostRun, *, ends_runs: bool) -> list[str]:
    """Stop the host's own Dagster; what it stored stays.

    Args:
        run: The host, whose lock is held.
        ends_runs: Stop it also while runs are in progress, which end with it.

    Returns:
        What a person should know.
    """
    if not run.has_service:
        return ["This program did not start a Dagster there: nothing was stopped."]
    run.report("stop")
    folder = run.target.first.dagster_folder
    stopped = run.conversation.ask("stop service", folder=folder, ends_runs=ends_runs)["stopped"]
    return [f"Stopped Dagster's {' and '.join(stopped)}." if stopped else "Dagster did not run."]


def planned(run: HostRun) -> list[str]:
    """Return what ``start`` would do, for people."""
    if "error" not in run.inspection.get("dagster", {"error": ""}):
        return [] if run.has_service else ["Would leave the Dagster as it is that answers already."]
    port = host_service.port_of(run.target, run.target.host.url)
    packages = ", ".join(host_service.versions(lock_of(run)))
    return [
        f"Would build Dagster's environment with {interpreter(run)}: {packages}",
        f"Would start Dagster's webserver at 127.0.0.1:{port}, and its daemon",
    ]


def interpreter(run: HostRun) -> str:
    """Return the interpreter that Dagster's environment is made with."""
    chosen = run.target.first.environment
    # That of a host's own environment is the one that is to be made.
    named = {"python": "python3"} if chosen["kind"] == "host" else chosen
    return host_environment.interpreter(run.target, named)


def _environment(run: HostRun, postgresql: str | None) -> host_service.ServiceEnvironment:
    named = interpreter(run)
    identity = run.inspection["interpreters"].get(named)
    if identity is None:
        raise RefusedError(f"{run.target}: {named} is not installed on the host: install it there.")
    host_service.refuse_old(run.target, identity)
    return host_service.environment(lock_of(run), identity, has_postgresql=postgresql is not None)


def lock_of(run: HostRun) -> str:
    """Return the workspace's constraints, with hashes; where it has none, those that this program comes with."""
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
    """Return the variable with the password to Dagster's server, unless the host has it already."""
    if postgresql is None:
        return {}
    if given := environ.get(host_service.GIVEN):
        remember_texts([given])
        return {host_service.PASSWORD: given}
    if run.inspection["service"]["has_password"]:
        return {}
    raise RefusedError(
        f"{run.target}: the password to {postgresql} is missing: set {host_service.GIVEN} for this command."
    )


def _notes(run: HostRun, answer: Mapping[str, Any]) -> list[str]:
    if answer["runs"]:
        return [f"{answer['runs']} runs are in progress, so Dagster was not restarted: say the command again later."]
    said = {"user": run.inspection["user"], "name": run.target.first.name, "by_hand": " ".join(answer["by_hand"])}
    if answer["by"] == "processes":
        return [_NO_SYSTEMD.format(**said)] if answer["started"] else []
    return [] if answer["lingers"] else [_LINGER.format(**said)]

"""What is in the way of a deployment, on this machine and on the hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy import leftover_pipelines, pipeline
from dagster_module_builder.deploy.deploy import release_of
from dagster_module_builder.deploy.each_host import on_hosts
from dagster_module_builder.deploy.hosts import host_assets, host_files
from dagster_module_builder.deploy.hosts.host_containers import problems_inside
from dagster_module_builder.deploy.hosts.host_preparation import ENVIRONMENT
from dagster_module_builder.deploy.hosts.host_requests import SPARE
from dagster_module_builder.deploy.hosts.host_run import HostRun
from dagster_module_builder.deploy.hosts.targets import targets_of
from dagster_module_builder.deploy.model import host_settings
from dagster_module_builder.deploy.model.deployment import Deployment, lacking_settings
from dagster_module_builder.deploy.strategies.base import load_strategy
from dagster_module_builder.shared_files.formats import env_file


def check(deployments: Sequence[Deployment], hosts: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return, for each host, everything that is known before a deployment to be in its way; nothing is changed.

    What ``deploy`` refuses on this machine is told at once: no host is asked, as ``deploy`` would not come to that.
    """
    targets = targets_of(deployments, hosts)
    here = [problem for one in deployments for problem in problems_here(one)]
    if here:
        return [{"host": str(target), "problems": here} for target in targets]

    def look(run: HostRun) -> dict[str, Any]:
        strategies = {one.strategy: load_strategy(one.strategy) for one in run.target.deployments}
        found = run.inspect(
            run.target.modules, sorted({tool for one in strategies.values() for tool in one.tools_there})
        )
        return {"problems": problems_there(run, found), "user": found["user"], "disk": found["disk"]}

    answers = on_hosts(deployments, hosts, look)
    return [{**one, "problems": [one["error"]]} if "error" in one else one for one in answers]


def problems_here(deployment: Deployment) -> list[str]:
    """Return what is in the way on this machine: what ``deploy`` refuses, or what a pipeline would not find."""
    problems = []
    try:
        settings = env_file.values(deployment.env_text())
        problems += lacking_settings(deployment, settings)
        # A pipeline deploys what it checks out itself.
        release_of(deployment, allow_dirty=deployment.pipeline is not None, complete=False)
    except BuilderError as error:
        problems.append(str(error))
    return problems if deployment.pipeline is None else [*problems, *_problems_of_pipeline(deployment)]


def _problems_of_pipeline(deployment: Deployment) -> list[str]:
    try:
        left = [f"{each.problem} Run '{each.cure}'." for each in leftover_pipelines.beside(deployment.module)]
        files = host_settings.files_that_pipelines_lack(deployment.folder)
        problem = pipeline.problem(deployment)
        return [*files, *filter(None, [problem]), *pipeline.uncommitted(deployment), *left]
    except BuilderError as error:
        return [str(error)]


def _needs_environment(deployment: Deployment, known: Mapping[str, Any]) -> bool:
    """Tell whether the next release of a module has its environment built, as far as is known without that release."""
    own = deployment.environment["kind"] == "venv" and not load_strategy(deployment.strategy).serves
    return own and not known["environments"]


def problems_there(run: HostRun, found: Mapping[str, Any]) -> list[str]:
    """Return what is in the way on a host."""
    problems = []
    try:
        run.refuse_unready()
        run.plan([])
        host_assets.choose(run, {one.names.name: one.env_text() for one in run.target.deployments})
        problems += problems_inside(run)
    except BuilderError as error:
        problems.append(str(error))
    builds = any(_needs_environment(one, found["modules"][one.names.name]) for one in run.target.deployments)
    problems += filter(None, [run.room_lacking(ENVIRONMENT if builds else SPARE)])
    env = host_files.paths(run.target.first.dagster_folder)[env_file.NAME]
    if (found["modes"].get(env) or 0) & 0o077:
        path = run.on_host(env)
        problems.append(f"{run.target}: {path} holds secrets and can be read by others: run 'chmod 600 {path}' there.")
    if found["dagster"].get("daemons") is False:
        problems.append(f"{run.target}: Dagster's daemon is not alive: schedules and sensors stand still.")
    if found["lock"]:
        problems.append(
            f"{run.target}: {found['lock'].get('who')} is deploying there since {found['lock'].get('since')}."
        )
    return problems

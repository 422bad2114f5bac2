"""Everything that would stop a deployment, on this machine and on the hosts."""

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
    """Return, for each host, the problems that would stop a deployment; nothing is changed.

    If there are problems on this machine, no host is asked: ``deploy`` would not reach it either.
    """
    targets = targets_of(deployments, hosts)
    local_problems = [problem for deployment in deployments for problem in local_problems_of(deployment)]
    if local_problems:
        return [{"host": str(target), "problems": local_problems} for target in targets]

    def look(run: HostRun) -> dict[str, Any]:
        strategies = {deployment.strategy: load_strategy(deployment.strategy) for deployment in run.target.deployments}
        tools = {tool for strategy in strategies.values() for tool in strategy.tools_there}
        inspection = run.inspect(run.target.modules, sorted(tools))
        return {"problems": problems_on_host(run, inspection), "user": inspection["user"], "disk": inspection["disk"]}

    answers = on_hosts(deployments, hosts, look)
    return [{**result, "problems": [result["error"]]} if "error" in result else result for result in answers]


def local_problems_of(deployment: Deployment) -> list[str]:
    """Return the problems on this machine: what ``deploy`` refuses, or a pipeline would not find."""
    problems = []
    try:
        settings = env_file.values(deployment.env_text(fetch=False))
        problems += lacking_settings(deployment, settings)
        # A pipeline deploys its own checkout.
        release_of(deployment, allow_dirty=deployment.pipeline is not None, complete=False)
    except BuilderError as error:
        problems.append(str(error))
    return problems if deployment.pipeline is None else [*problems, *_problems_of_pipeline(deployment)]


def _problems_of_pipeline(deployment: Deployment) -> list[str]:
    try:
        left = [f"{pipe.problem} Run '{pipe.cure}'." for pipe in leftover_pipelines.beside(deployment.module)]
        files = host_settings.files_that_pipelines_lack(deployment.folder)
        problem = pipeline.problem(deployment)
        return [*files, *filter(None, [problem]), *pipeline.uncommitted(deployment), *left]
    except BuilderError as error:
        return [str(error)]


def _needs_environment(deployment: Deployment, known: Mapping[str, Any]) -> bool:
    """Tell whether a module's next release needs a new environment, as far as is known without that release."""
    own = deployment.environment["kind"] == "venv" and not load_strategy(deployment.strategy).serves
    return own and not known["environments"]


def problems_on_host(run: HostRun, inspection: Mapping[str, Any]) -> list[str]:
    """Return the problems on a host."""
    problems = []
    try:
        run.refuse_unready()
        run.plan([])
        host_assets.choose(
            run, {each.names.name: run.target.env_text(each, fetch=False) for each in run.target.deployments}
        )
        problems += problems_inside(run)
    except BuilderError as error:
        problems.append(str(error))
    builds = any(
        _needs_environment(deployment, inspection["modules"][deployment.names.name])
        for deployment in run.target.deployments
    )
    problems += filter(None, [run.room_lacking(ENVIRONMENT if builds else SPARE)])
    env = host_files.paths(run.target.first.dagster_folder)[env_file.NAME]
    if (inspection["modes"].get(env) or 0) & 0o077:
        path = run.on_host(env)
        problems.append(
            f"{run.target}: {path} holds secrets, and other users can read it: run 'chmod 600 {path}' there."
        )
    if inspection["dagster"].get("daemons") is False:
        problems.append(f"{run.target}: Dagster's daemon is not running: schedules and sensors do not work.")
    if inspection["lock"]:
        problems.append(
            f"{run.target}: {inspection['lock'].get('who')} has been deploying there since "
            f"{inspection['lock'].get('since')}."
        )
    return problems

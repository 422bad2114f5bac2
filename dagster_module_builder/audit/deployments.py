"""Checks of the module's deployments."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from dataclasses import replace

from dagster_module_builder.audit.audited_module import EXAMPLE, AuditedModule
from dagster_module_builder.audit.checks import Always, check
from dagster_module_builder.audit.lacks import no_deployments
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy import pipeline
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.deploy.leftover_pipelines import beside
from dagster_module_builder.deploy.model.deployment import DEPLOYMENTS, Deployment, read_deployment
from dagster_module_builder.deploy.model.host_settings import ENV
from dagster_module_builder.deploy.model.host_settings import EXAMPLE as DEPLOYED_EXAMPLE
from dagster_module_builder.deploy.strategies.base import load_steps
from dagster_module_builder.shared_files.formats import env_file


@check(
    "deployments",
    "Has deployments, including staging",
    "A release should run on staging before it runs at a client's.",
    Always("every module can be deployed"),
)
def deployments(audited: AuditedModule) -> Iterator[Problem]:
    """Count the deployments."""
    configure = f"configure-deployment {shlex.quote(audited.path.name)}"
    if not (audited.path / DEPLOYMENTS).is_dir():
        missing = audited.missing("No deploy/")
        first = "'upgrade', then " if missing.by_upgrade else ""
        yield replace(missing, fix=f"Run {first}'{configure}'", command=configure)
    elif not audited.deployments:
        yield Problem("No deployment configured yet", f"Run '{configure}'", status="WARN", command=configure)
    elif len(audited.deployments) == 1:
        fix = "Add deployment config for staging environment"
        message = "Only 1 deployment configured (consider staging)"
        staging = "" if audited.deployments[0].name == "staging" else " --deployment staging"
        yield Problem(message, fix, status="WARN", command=f"{configure}{staging}")


@check("deployments-read", "Every deployment can be read", "'deploy' would refuse a damaged one.", no_deployments)
def deployments_read(audited: AuditedModule) -> Iterator[Problem]:
    """Read each deployment as ``deploy`` does."""
    for folder in audited.deployments:
        try:
            files = load_steps(read_deployment(folder).strategy).files
        except BuilderError as error:
            yield Problem(str(error).partition("\n")[0], "Fix that file", audited.shown(folder))
            continue
        for name in files:
            if not (folder / name).is_file():
                yield Problem(
                    f"{name} is missing", "Run 'configure-deployment', which creates it", audited.shown(folder)
                )


@check(
    "deployments-env",
    "The deployments have every variable",
    "A release without one of them fails on the host.",
    lambda audited: no_deployments(audited) or ("" if _variables(audited) else "no variables"),
)
def deployments_env(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the variables of each deployment with those of the module."""
    variables = _variables(audited)
    for folder in audited.deployments:
        files = [folder / name for name in (ENV, DEPLOYED_EXAMPLE)]
        known = {name for file in files for name in env_file.keys(audited.bytes_of(file))}
        for name in sorted(variables - known):
            where = audited.shown(folder / ENV)
            yield Problem(f"{name} is missing", f"Add it as explained in {EXAMPLE}", where, "WARN")


def _variables(audited: AuditedModule) -> set[str]:
    example = env_file.keys((audited.example_text or "").encode())
    return {*audited.fragment_env, *example} - {f"{audited.names.env_prefix}_DB_ROOT_PASSWORD"}


def _pipelines(audited: AuditedModule) -> Iterator[Deployment]:
    for folder in audited.deployments:
        with contextlib.suppress(BuilderError):  # Another check reports what cannot be read.
            deployment = read_deployment(folder)
            if deployment.pipeline is not None:
                yield deployment


@check(
    "pipelines",
    "Every pipeline matches its deployment",
    "An outdated pipeline deploys with outdated settings.",
    lambda audited: "" if [*_pipelines(audited), *beside(audited.path)] else "no deployment by a pipeline",
)
def pipelines(audited: AuditedModule) -> Iterator[Problem]:
    """Compare the pipelines of ci-cd deployments with what would be written now; find leftover ones."""
    for leftover in beside(audited.path):
        yield Problem(leftover.problem, f"Run '{leftover.cure}'", audited.shown(leftover.pipeline.path))
    for deployment in _pipelines(audited):
        with contextlib.suppress(BuilderError):
            if problem := pipeline.problem(deployment):
                folder = deployment.folder
                write = f"deploy.pipeline {typed(folder)}"
                yield Problem(problem, f"Run '{write}'", audited.shown(folder), command=write)

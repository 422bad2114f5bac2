"""Checks of the module's deployments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from dagster_module_builder.audit.lacks import no_deployments
from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.subject import EXAMPLE, Subject
from dagster_module_builder.audit.table import Always, check
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
    "Has deployments, staging among them",
    "What runs at a client's was tried elsewhere first.",
    Always("a module is there to be deployed"),
)
def deployments(subject: Subject) -> Iterator[Problem]:
    """Count the deployments."""
    configure = f"configure-deployment {subject.path.name}"
    if not (subject.path / DEPLOYMENTS).is_dir():
        missing = subject.missing("No deploy/")
        first = "'upgrade', then " if missing.by_upgrade else ""
        yield replace(missing, fix=f"Run {first}'{configure}'")
    elif not subject.deployments:
        yield Problem("No deployment configured yet", f"Run '{configure}'", status="WARN")
    elif len(subject.deployments) == 1:
        fix = "Add deployment config for staging environment"
        yield Problem("Only 1 deployment configured (consider staging)", fix, status="WARN")


@check("deployments-read", "Every deployment can be read", "'deploy' would refuse it.", no_deployments)
def deployments_read(subject: Subject) -> Iterator[Problem]:
    """Read each deployment as ``deploy`` reads it."""
    for folder in subject.deployments:
        try:
            files = load_steps(read_deployment(folder).strategy).files
        except BuilderError as error:
            yield Problem(str(error).partition("\n")[0], "Fix that file", subject.shown(folder))
            continue
        for name in files:
            if not (folder / name).is_file():
                yield Problem(f"{name} is missing there", "Have 'configure-deployment' make one", subject.shown(folder))


@check(
    "deployments-env",
    "The deployments know every variable",
    "A release that lacks one fails on the host, at night.",
    lambda subject: no_deployments(subject) or ("" if _wanted(subject) else "no variables"),
)
def deployments_env(subject: Subject) -> Iterator[Problem]:
    """Compare the variables of each deployment with those of the module."""
    wanted = _wanted(subject)
    for folder in subject.deployments:
        files = [folder / name for name in (ENV, DEPLOYED_EXAMPLE)]
        known = {name for file in files for name in env_file.keys(subject.bytes_of(file))}
        for name in sorted(wanted - known):
            where = subject.shown(folder / ENV)
            yield Problem(f"{name} is missing there", f"Add it, as {EXAMPLE} explains it", where, "WARN")


def _wanted(subject: Subject) -> set[str]:
    example = env_file.keys((subject.example_text or "").encode())
    return {*subject.fragment_env, *example} - {f"{subject.names.env_prefix}_DB_ROOT_PASSWORD"}


def _pipelines(subject: Subject) -> Iterator[Deployment]:
    for folder in subject.deployments:
        with contextlib.suppress(BuilderError):  # Another check says what cannot be read.
            deployment = read_deployment(folder)
            if deployment.pipeline is not None:
                yield deployment


@check(
    "pipelines",
    "Every pipeline is as its deployment says",
    "A pipeline of yesterday deploys with yesterday's settings.",
    lambda subject: "" if [*_pipelines(subject), *beside(subject.path)] else "no deployment by a pipeline",
)
def pipelines(subject: Subject) -> Iterator[Problem]:
    """Compare the pipelines of ci-cd deployments with what would be written now, and find those left over."""
    for leftover in beside(subject.path):
        yield Problem(leftover.problem, f"Run '{leftover.cure}'", subject.shown(leftover.found.path))
    for deployment in _pipelines(subject):
        with contextlib.suppress(BuilderError):
            if found := pipeline.problem(deployment):
                folder = deployment.folder
                yield Problem(found, f"Run 'deploy.pipeline {typed(folder)}'", subject.shown(folder))

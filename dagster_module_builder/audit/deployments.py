"""Checks of the module's deployments."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from dagster_module_builder.audit.results import Problem
from dagster_module_builder.audit.subject import EXAMPLE, Subject
from dagster_module_builder.audit.table import check
from dagster_module_builder.deployments import pipeline
from dagster_module_builder.deployments.deployment import DEPLOYMENTS, ENV, read_deployment
from dagster_module_builder.deployments.deployment import EXAMPLE as DEPLOYED_EXAMPLE
from dagster_module_builder.errors import BuilderError
from dagster_module_builder.formats import env_file
from deploy_strategies.base import load_steps


@check("deployments", "Has deployments, staging among them", "What runs at a client's was tried elsewhere first.")
def deployments(subject: Subject) -> Iterator[Problem]:
    """Count the deployments."""
    configure = f"configure-deployment {subject.path.name}"
    if not (subject.path / DEPLOYMENTS).is_dir():
        yield Problem("No deploy/", f"Run 'upgrade', then '{configure}'")
    elif not subject.deployments:
        yield Problem("No deployment configured yet", f"Run '{configure}'", status="WARN")
    elif len(subject.deployments) == 1:
        mend = "Add deployment config for staging environment"
        yield Problem("Only 1 deployment configured (consider staging)", mend, status="WARN")


@check("deployments-read", "Every deployment can be read", "'deploy' would refuse it.")
def deployments_read(subject: Subject) -> Iterator[Problem]:
    """Read each deployment as ``deploy`` reads it."""
    for folder in subject.deployments:
        try:
            files = load_steps(read_deployment(folder).strategy).files
        except BuilderError as error:
            yield Problem(str(error).partition("\n")[0], "Mend that file", subject.shown(folder))
            continue
        for name in files:
            if not (folder / name).is_file():
                yield Problem(f"{name} is missing there", "Have 'configure-deployment' make one", subject.shown(folder))


@check(
    "deployments-env", "The deployments know every variable", "A release that lacks one fails on the host, at night."
)
def deployments_env(subject: Subject) -> Iterator[Problem]:
    """Compare the variables of each deployment with those of the module."""
    example = env_file.keys((subject.example_text or "").encode())
    wanted = {*subject.fragment_env, *example} - {f"{subject.names.env_prefix}_DB_ROOT_PASSWORD"}
    for folder in subject.deployments:
        files = [folder / name for name in (ENV, DEPLOYED_EXAMPLE) if (folder / name).is_file()]
        known = {name for file in files for name in env_file.keys(file.read_bytes())}
        for name in sorted(wanted - known):
            where = subject.shown(folder / ENV)
            yield Problem(f"{name} is missing there", f"Add it, as {EXAMPLE} explains it", where, "WARN")


@check(
    "pipelines",
    "Every pipeline is as its deployment says",
    "A pipeline of yesterday deploys with yesterday's settings.",
)
def pipelines(subject: Subject) -> Iterator[Problem]:
    """Compare the pipelines of ci-cd deployments with what would be written now."""
    for folder in subject.deployments:
        with contextlib.suppress(BuilderError):  # Another check says what cannot be read.
            deployment = read_deployment(folder)
            if deployment.pipeline is not None and (found := pipeline.problem(deployment)):
                yield Problem(found, f"Run 'deploy.pipeline {folder.name}'", subject.shown(folder))

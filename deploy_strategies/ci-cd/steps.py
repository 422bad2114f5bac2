"""ci-cd: a pipeline of GitHub, GitLab or Jenkins that tests the module and carries out another strategy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.deploy.pipelines import tool as this_program
from dagster_module_builder.deploy.pipelines.description import describe, settings_of, trigger_of
from dagster_module_builder.deploy.pipelines.platforms import PLATFORMS
from dagster_module_builder.deploy.pipelines.repositories import contents, main_branch
from dagster_module_builder.deploy.strategies.base import PipelineFile, PipelineStrategy

if TYPE_CHECKING:
    from dagster_module_builder.deploy.model.deployment import Deployment

_PLAIN_PATH = re.compile(r"(?!-)[A-Za-z0-9._+@/-]+")


class CiCd(PipelineStrategy):
    """Writes the pipeline."""

    def __init__(self) -> None:
        self.places = {platform.pattern: platform.kind for platform in PLATFORMS.values()}

    def questions_from(self, module: Path) -> Mapping[str, str]:
        """Return how this program was installed, and the repository's default branch and contents."""
        answers = {"tool": this_program.installed_as().requirement, "trigger_branch": main_branch(module)}
        return {**contents(module), **{name: value for name, value in answers.items() if value}}

    def problem_with(self, answers: Mapping[str, Any]) -> str | None:
        """Return why the jobs could not install this program."""
        tool = str(answers.get("tool") or "")
        return this_program.problem_with(tool) if tool else this_program.installed_as().problem

    def lacking(self, deployment: Deployment) -> list[str]:
        """Return problems with parts of the repository that the jobs would not check out."""
        own, has = settings_of(deployment), contents(deployment.module)
        kinds = {"submodules": "submodules", "lfs": "files of Git LFS"}
        return [
            f"The repository has {what}, which the pipeline does not check out: set 'ci-cd: {name}: true' in "
            f"{deployment.folder / 'deployment.yaml'} and run 'deploy.pipeline {typed(deployment.folder)}'."
            for name, what in kinds.items()
            if has.get(name) == "yes" and not own.get(name)
        ]

    def summary(self, deployment: Deployment) -> str:
        """Return who deploys, and when."""
        title = PLATFORMS[settings_of(deployment)["platform"]].title
        return f"{title} {trigger_of(deployment).summary}"

    def file(self, deployment: Deployment, inside: str) -> PipelineFile:
        """Return the file that the platform reads."""
        if not _PLAIN_PATH.fullmatch(inside):
            raise RefusedError(
                f"{inside!r}: a pipeline needs a folder of letters, digits and . _ + @ / - only, not beginning "
                f"with '-'. Rename it."
            )
        pipeline = describe(deployment, inside)
        platform = PLATFORMS[pipeline.platform]
        return PipelineFile(
            places=platform.places(pipeline),
            shares=platform.shares,
            kind=platform.kind,
            folder=pipeline.folder,
            mentions=lambda file: platform.mentions(pipeline, file),
            text=lambda others: platform.text(pipeline, others),
            public=platform.public,
            beside={pipeline.lock: this_program.lock_of(pipeline.tool)},
        )

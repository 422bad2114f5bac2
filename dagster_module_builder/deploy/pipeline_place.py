"""The path of a deployment's pipeline, and the names in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.model.deployment import FILE, GUIDE
from dagster_module_builder.deploy.strategies.base import PipelineFile


@dataclass(frozen=True)
class PipelinePlace:
    """The path of a deployment's pipeline, and the names in it.

    Attributes:
        module: The name of the module.
        deployment: The name of its deployment.
        top: The repository's folder.
        file: The strategy's description of the file.
        path: The file's path; it may not exist yet.
    """

    module: str
    deployment: str
    top: Path
    file: PipelineFile
    path: Path

    @property
    def marker(self) -> str:
        """The marker of its lines, different for each deployment in the repository."""
        return marker(self.module, self.deployment)

    @property
    def title(self) -> str:
        """Its first line, without a comment sign."""
        return title(self.module, self.deployment)

    @property
    def shown(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(self.top))

    @property
    def guide(self) -> Path:
        """The path of the deployment's guide."""
        return self.top / self.file.folder / GUIDE


def marker(module: str, deployment: str) -> str:
    """Return the marker of a deployment's pipeline: ``sales_report__yoda``."""
    return f"{ModuleNames(module).snake}__{deployment.replace('-', '_')}"


def title(module: str, deployment: str) -> str:
    """Return the first line of a deployment's pipeline, without a comment sign."""
    return f"From deploy/{deployment}/{FILE} of {module}, by 'dagster-module-builder deploy.pipeline {deployment}'."

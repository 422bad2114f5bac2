"""Where the pipeline of a deployment is or belongs, and all names that follow from whose it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.names import ModuleNames
from dagster_module_builder.deploy.model.deployment import FILE, GUIDE
from dagster_module_builder.deploy.strategies.base import PipelineFile


@dataclass(frozen=True)
class PipelinePlace:
    """Where the pipeline of a deployment belongs, and all names that follow from whose it is.

    Attributes:
        module: The name of the module.
        deployment: The name of its deployment.
        top: The repository's folder.
        file: What the strategy says of it.
        path: Where it is, or is to be.
    """

    module: str
    deployment: str
    top: Path
    file: PipelineFile
    path: Path

    @property
    def marker(self) -> str:
        """What its lines are marked with; no other deployment in the repository has the same."""
        return marker(self.module, self.deployment)

    @property
    def title(self) -> str:
        """Its first line, without the sign of a comment."""
        return title(self.module, self.deployment)

    @property
    def shown(self) -> str:
        """Its path in the repository."""
        return str(self.path.relative_to(self.top))

    @property
    def guide(self) -> Path:
        """The guide of its deployment."""
        return self.top / self.file.folder / GUIDE


def marker(module: str, deployment: str) -> str:
    """Return what the lines of a deployment's pipeline are marked with: ``sales_report__yoda``."""
    return f"{ModuleNames(module).snake}__{deployment.replace('-', '_')}"


def title(module: str, deployment: str) -> str:
    """Return the first line of a deployment's pipeline, without the sign of a comment."""
    return f"From deploy/{deployment}/{FILE} of {module}, by 'dagster-module-builder deploy.pipeline {deployment}'."

"""Pipelines that a platform still runs although their deployment was renamed, deleted, or moved its pipeline."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.deploy.model.deployment import FILE, read_deployment
from dagster_module_builder.deploy.pipeline import find
from dagster_module_builder.deploy.pipeline_place import PipelinePlace
from dagster_module_builder.deploy.strategies.base import PipelineFile, PipelineStrategy, load_steps
from dagster_module_builder.programs.version_control import top as repository_top
from dagster_module_builder.transactions import module_files
from deploy_strategies import folders

#: The first line of our pipelines, in all versions.
_TITLE = re.compile(
    r"(?:#|//) From deploy/([\w-]+)/deployment\.yaml of ([\w.-]+), by 'dagster-module-builder deploy\.pipeline "
)
#: The deployment's folder in a job's message about a missing secret.
_FOLDER = re.compile(r"has no value: see (\S+)/DEPLOYMENT\.md")


@dataclass(frozen=True)
class Leftover:
    """A pipeline without a deployment.

    Attributes:
        pipeline: The pipeline.
        reason: Why it has no deployment.
        moved: Whether its deployment has its pipeline in another file.
    """

    pipeline: PipelinePlace
    reason: str
    moved: bool = False

    @property
    def problem(self) -> str:
        """The problem, as a sentence."""
        return (
            f"{self.pipeline.path} still deploys {self.pipeline.module} to {self.pipeline.deployment!r}, {self.reason}."
        )

    @property
    def cure(self) -> str:
        """The command that removes it; if it has moved, the command keeps the pipeline in the new file."""
        name, typed_name = self.pipeline.deployment, typed(self.pipeline.top / self.pipeline.file.folder)
        if self.moved and typed_name != name:
            return f"deploy.pipeline {typed_name}"
        command = f"deploy.pipeline {name} --module {self.pipeline.module}"
        return command if self.moved else f"{command} --remove"


def leftovers(top: Path) -> list[Leftover]:
    """Return the pipelines in a repository that belong to no deployment.

    Args:
        top: The repository's folder.
    """
    return [leftover for pipeline in _written(top) if (leftover := _leftover(pipeline))]


def beside(module: Path) -> list[Leftover]:
    """Return the leftovers in a module's repository, of this module or of modules that are gone."""
    name, top = module.resolve().name, repository_top(module) or module
    return [
        each for each in leftovers(top) if each.pipeline.module == name or not _module_folder(each.pipeline).is_dir()
    ]


def named(root: Path, standing_in: Path, deployment: str, modules: Sequence[str]) -> list[Leftover]:
    """Return the leftovers of a deployment's name in the repositories of a workspace and its modules, and in one more.

    Args:
        root: The workspace's root.
        standing_in: The current folder, which may be in one more repository.
        deployment: The deployment's name.
        modules: The modules' names, or paths that end in them; any module if empty.
    """
    folders_asked = [root, standing_in, *layout_of(root).in_module_folders()]
    tops = dict.fromkeys((repository_top(folder) or folder).resolve() for folder in folders_asked if folder.is_dir())
    left = [each for top in tops for each in leftovers(top) if each.pipeline.deployment == deployment]
    names = {Path(module).resolve().name for module in modules}
    return [each for each in left if not names or each.pipeline.module in names]


def _written(top: Path) -> Iterator[PipelinePlace]:
    """Yield all of our pipelines in a repository."""
    for strategy in map(load_steps, folders.names()):
        if isinstance(strategy, PipelineStrategy):
            for pattern, kind in strategy.places.items():
                for path in sorted(top.glob(pattern)):
                    yield from _in_file(top, path, PipelineFile((), False, kind, "", lambda _: (), lambda _: ""))


def _in_file(top: Path, path: Path, file: PipelineFile) -> Iterator[PipelinePlace]:
    try:
        text = module_files.text(top, path) or ""
    except RefusedError:
        # A folder, or a link to somewhere else, which we did not write.
        return
    titles = list(_TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    for title, end in zip(titles, ends, strict=False):
        folder = _FOLDER.search(text, title.end(), end)
        if folder is not None:
            own = PipelineFile(file.places, file.shares, file.kind, folder[1], file.mentions, file.text)
            yield PipelinePlace(title[2], title[1], top, own, path)


def _module_folder(pipeline: PipelinePlace) -> Path:
    return (pipeline.top / pipeline.file.folder).parent.parent


def _leftover(pipeline: PipelinePlace) -> Leftover | None:
    """Return a pipeline as a leftover; None if a deployment has it, or its deployment cannot be read."""
    folder = pipeline.top / pipeline.file.folder
    if not (folder / FILE).is_file():
        return Leftover(pipeline, f"but {pipeline.file.folder}/{FILE} is gone")
    try:
        deployment = read_deployment(folder)
        if deployment.pipeline is None:
            return Leftover(pipeline, f"but its strategy is now {deployment.strategy!r}")
        place = find(deployment)
    except BuilderError:
        return None
    if place.path.resolve() == pipeline.path.resolve():
        return None
    return Leftover(pipeline, f"but its pipeline is now {place.shown}", moved=True)

"""Pipelines that a platform still runs although no deployment has them: renamed, deleted, or moved to another place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dagster_module_builder.base.errors import BuilderError, RefusedError
from dagster_module_builder.base.settings import PROJECTS
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.deploy.model.deployment import FILE, read_deployment
from dagster_module_builder.deploy.pipeline import find
from dagster_module_builder.deploy.pipeline_place import PipelinePlace
from dagster_module_builder.deploy.strategies.base import PipelineFile, PipelineStrategy, load_steps
from dagster_module_builder.programs.version_control import top as repository_top
from dagster_module_builder.transactions import module_files
from deploy_strategies import folders

#: The first line of ours, as all versions write it.
_TITLE = re.compile(
    r"(?:#|//) From deploy/([\w-]+)/deployment\.yaml of ([\w.-]+), by 'dagster-module-builder deploy\.pipeline "
)
#: Where a job of ours sends a person who has set no secret: into the deployment's folder.
_FOLDER = re.compile(r"has no value: see (\S+)/DEPLOYMENT\.md")


@dataclass(frozen=True)
class Leftover:
    """A pipeline without a deployment.

    Attributes:
        found: The pipeline.
        reason: Why it has no deployment.
        moved: Whether its deployment has a pipeline in another place.
    """

    found: PipelinePlace
    reason: str
    moved: bool = False

    @property
    def problem(self) -> str:
        """What is wrong, in a sentence."""
        return f"{self.found.path} still deploys {self.found.module} to {self.found.deployment!r}, {self.reason}."

    @property
    def cure(self) -> str:
        """The command that takes it out; of one that has moved, it leaves the pipeline in its new place."""
        name, there = self.found.deployment, typed(self.found.top / self.found.file.folder)
        if self.moved and there != name:
            return f"deploy.pipeline {there}"
        command = f"deploy.pipeline {name} --module {self.found.module}"
        return command if self.moved else f"{command} --remove"


def leftovers(top: Path) -> list[Leftover]:
    """Return the pipelines in a repository that no deployment has.

    Args:
        top: The repository's folder.
    """
    return [leftover for found in _written(top) if (leftover := _leftover(found))]


def beside(module: Path) -> list[Leftover]:
    """Return the leftovers in a module's repository that are its own, or of modules that are gone."""
    name, top = module.resolve().name, repository_top(module) or module
    return [each for each in leftovers(top) if each.found.module == name or not _module_folder(each.found).is_dir()]


def named(root: Path, here: Path, deployment: str, modules: Sequence[str]) -> list[Leftover]:
    """Return the leftovers of a deployment's name in the repositories of a workspace and its modules, and in one more.

    Args:
        root: The workspace's root.
        here: A folder in one more repository: the one that the person stands in.
        deployment: The deployment's name.
        modules: Their modules' names, or paths that end in them; any when empty.
    """
    projects = root / PROJECTS
    folders_asked = [root, here, *(path for path in sorted(projects.glob("*")) if path.is_dir())]
    tops = dict.fromkeys((repository_top(folder) or folder).resolve() for folder in folders_asked if folder.is_dir())
    found = [each for top in tops for each in leftovers(top) if each.found.deployment == deployment]
    names = {Path(module).resolve().name for module in modules}
    return [each for each in found if not names or each.found.module in names]


def _written(top: Path) -> Iterator[PipelinePlace]:
    """Yield every pipeline of ours in a repository, whoever's it is."""
    for strategy in map(load_steps, folders.names()):
        if isinstance(strategy, PipelineStrategy):
            for pattern, kind in strategy.places.items():
                for path in sorted(top.glob(pattern)):
                    yield from _in_file(top, path, PipelineFile((), False, kind, "", lambda _: (), lambda _: ""))


def _in_file(top: Path, path: Path, file: PipelineFile) -> Iterator[PipelinePlace]:
    try:
        text = module_files.text(top, path) or ""
    except RefusedError:
        # A folder, or a link to somewhere else: none that this program wrote.
        return
    titles = list(_TITLE.finditer(text))
    ends = [title.start() for title in titles[1:]] + [len(text)]
    for title, end in zip(titles, ends, strict=False):
        folder = _FOLDER.search(text, title.end(), end)
        if folder is not None:
            own = PipelineFile(file.places, file.shares, file.kind, folder[1], file.mentions, file.text)
            yield PipelinePlace(title[2], title[1], top, own, path)


def _module_folder(found: PipelinePlace) -> Path:
    return (found.top / found.file.folder).parent.parent


def _leftover(found: PipelinePlace) -> Leftover | None:
    """Return a pipeline that no deployment has; None where one has it, or cannot be read."""
    folder = found.top / found.file.folder
    if not (folder / FILE).is_file():
        return Leftover(found, f"but {found.file.folder}/{FILE} is gone")
    try:
        deployment = read_deployment(folder)
        if deployment.pipeline is None:
            return Leftover(found, f"but its strategy is {deployment.strategy!r} now")
        place = find(deployment)
    except BuilderError:
        return None
    if place.path.resolve() == found.path.resolve():
        return None
    return Leftover(found, f"but its pipeline belongs into {place.shown} now", moved=True)

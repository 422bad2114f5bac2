"""The base classes of strategies: how the files of a release get to a host. Everything else is the same for all."""

from __future__ import annotations

import functools
import importlib.util
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import ToolError
from deploy_strategies.folders import strategy_folder

if TYPE_CHECKING:
    from dagster_module_builder.deploy.model.deployment import Deployment
    from dagster_module_builder.deploy.model.release import Staged
    from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder
    from dagster_module_builder.shared_files.formats.shared_file import SharedFile


class Steps:
    """What all strategies have. ``steps.py`` in a strategy's folder has one subclass of a class below."""

    #: The files that it reads in a deployment's folder, beside those that all strategies have.
    files: tuple[str, ...] = ()

    def questions_from(self, module: Path) -> Mapping[str, str]:  # noqa: ARG002 - a strategy may look at the module
        """Return better defaults for the strategy's questions, from the module."""
        return {}

    def problem_with(self, answers: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - a strategy may judge them
        """Return why a deployment with these answers would not work, and what to answer; None if it may work."""
        return None


class Strategy(Steps, ABC):
    """How one strategy makes releases."""

    #: Programs that must be installed on this machine, and on the host.
    tools_here: tuple[str, ...] = ()
    tools_there: tuple[str, ...] = ()
    #: Whether it always uses the OpenSSH connection.
    bulk: bool = False
    #: Whether a release begins with links to equal files of the current one; ``ReleaseFolder.lacking`` names the rest.
    shares: bool = False
    #: Whether a release has its own code server, which the host starts beside the old one.
    serves: bool = False
    #: The deployment; set before any method is called.
    deployment: Deployment

    @abstractmethod
    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Read the files to release, on this machine.

        Args:
            module: The module's folder.
            own: The strategy's section of ``deployment.yaml``.
            allow_dirty: Accept changes that are not committed.
        """

    def sources(self, own: Mapping[str, Any], inside: str) -> tuple[str, ...]:  # noqa: ARG002 - a strategy may use more
        """Return the files and folders below the repository's top that releases are made from; ``.`` for all of them.

        Args:
            own: The strategy's section of ``deployment.yaml``.
            inside: The module's folder below the repository's top; ``.`` for the top itself.
        """
        return (inside,)

    def is_bulky(self, staged: Staged) -> bool:  # noqa: ARG002 - it may depend on the files
        """Tell whether to open the OpenSSH connection before it is known which files the host has already."""
        return self.bulk

    def build(
        self,
        staged: Staged,  # noqa: ARG002 - a strategy may build something of it
        report: Callable[[str], None],  # noqa: ARG002 - the same
    ) -> Mapping[str, Any]:
        """Build what a release needs besides files, on this machine and once for all hosts.

        Args:
            staged: The files of the release.
            report: Told which step this machine is in.

        Returns:
            Values for ``RELEASE.json``; the code server starts from ``image``.
        """
        return {}

    def commands(
        self,
        own: Mapping[str, Any],  # noqa: ARG002 - a strategy may run something
        staged: Staged,  # noqa: ARG002 - the same
        release_folder: ReleaseFolder,  # noqa: ARG002 - the same
        lacking: Sequence[str],  # noqa: ARG002 - the same
    ) -> list[str]:
        """Return the commands that would build a release and bring it to a host, as a person would type them here.

        Args:
            own: The strategy's section of ``deployment.yaml``.
            staged: The files of the release.
            release_folder: The release's folder; nothing is run there.
            lacking: The manifest's lines that the current release does not have.
        """
        return []

    @abstractmethod
    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, release_folder: ReleaseFolder) -> None:
        """Bring exactly these files to the release's folder on the host."""


class PipelineStrategy(Steps, ABC):
    """A strategy whose pipeline carries out another one, which ``deployment.yaml`` names under ``carries_out``."""

    #: Patterns of the paths of its pipelines below a repository's top, and each file's ``kind`` (``PipelineFile``).
    places: Mapping[str, SharedFile | None]

    @abstractmethod
    def file(self, deployment: Deployment, inside: str) -> PipelineFile:
        """Return the file that the platform reads.

        Args:
            deployment: The deployment.
            inside: The module's folder in its repository; ``.`` for the repository itself.
        """

    @abstractmethod
    def summary(self, deployment: Deployment) -> str:
        """Return in a few words who deploys, and when: ``GitHub Actions on a push to main``."""

    def lacking(self, deployment: Deployment) -> list[str]:  # noqa: ARG002 - a platform may check out all of it
        """Return problems with parts of the repository that the pipeline would not check out."""
        return []


#: Returns, for the name of the pipeline's file, patterns in a guide and the names to write behind them.
Mentions = Callable[[str], Sequence[tuple[re.Pattern[str], str]]]


@dataclass(frozen=True)
class PipelineFile:
    """The file in a repository in which a platform finds a pipeline.

    Attributes:
        places: Its possible paths below the repository's top, the best one first.
        shares: Whether the first path may be a file with other people's lines.
        kind: Its format, if our lines can be marked in it; None if the whole file must be ours.
        folder: The deployment's folder in the repository.
        mentions: For the file's name, patterns of names in the guide, with the text before each name as group 1, and
            the new names.
        text: Returns our lines, given the other lines of the file.
        beside: Further files that the jobs read, by their paths below the repository's top; the first line of each says
            what it is for.
        public: Its lines that are the same for all users, without white space around them.
    """

    places: tuple[str, ...]
    shares: bool
    kind: SharedFile | None
    folder: str
    mentions: Mentions
    text: Callable[[Sequence[bytes]], str]
    public: frozenset[str] = frozenset()
    beside: Mapping[str, bytes] = field(default_factory=dict)


def load_strategy(name: str) -> Strategy:
    """Return a strategy that makes releases by its folder's name.

    Raises:
        RefusedError: There is no such strategy.
        ToolError: Its folder has no ``steps.py``.
    """
    strategy: Strategy = _load(name, Strategy)
    return strategy


def load_pipeline(name: str) -> PipelineStrategy:
    """Return a strategy whose pipeline carries out another one; it raises as ``load_strategy`` does."""
    strategy: PipelineStrategy = _load(name, PipelineStrategy)
    return strategy


def load_steps(name: str) -> Steps:
    """Return a strategy of either kind; it raises as ``load_strategy`` does."""
    strategy: Steps = _load(name, Steps)
    return strategy


def _load(name: str, kind: type[Steps]) -> Any:
    path = strategy_folder(name) / "steps.py"
    module = _module(path, f"deploy_strategies.steps_of_{name.replace('-', '_')}")
    classes: list[Callable[[], Steps]] = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, kind) and value.__module__ == module.__name__
    ]
    if len(classes) != 1:
        raise ToolError(f"{path} has {len(classes)} strategy classes: it must have exactly one.")
    return classes[0]()


@functools.cache
def _module(path: Path, name: str) -> ModuleType:
    """Return a strategy's Python module; it is loaded once, since a deployment asks for it a dozen times."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ToolError(f"{path} is missing: every strategy needs it.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

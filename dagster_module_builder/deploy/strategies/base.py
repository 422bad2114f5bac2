"""What a strategy is: how the files of a release come to be on a host. Everything else is the same for all of them."""

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
    """What a strategy does. A subclass of one of the kinds below in a folder's ``steps.py`` is found by itself."""

    #: What it reads in a deployment's folder, beside the files that all strategies have.
    files: tuple[str, ...] = ()

    def questions_from(self, module: Path) -> Mapping[str, str]:  # noqa: ARG002 - a strategy may look at the module
        """Return better defaults for the strategy's questions, found in the module."""
        return {}

    def problem_with(self, answers: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - a strategy may judge them
        """Say why a deployment with these answers would not work, and what to answer; None where it may."""
        return None


class Strategy(Steps, ABC):
    """How one strategy makes releases."""

    #: Programs that have to be here, and on the host.
    tools_here: tuple[str, ...] = ()
    tools_there: tuple[str, ...] = ()
    #: Whether it uses the OpenSSH connection, whatever is released.
    bulk: bool = False
    #: Whether a release begins with links to equal files of the current one; ``ReleaseFolder.lacking`` names the rest.
    shares: bool = False
    #: Whether a release has a code server of its own, which the host starts beside the old one.
    serves: bool = False
    #: Whose releases it makes; set before anything is asked of it.
    deployment: Deployment

    @abstractmethod
    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Take in what is to be released, on this machine.

        Args:
            module: The module's folder.
            own: The strategy's section of ``deployment.yaml``.
            allow_dirty: Take also what no commit has.
        """

    def sources(self, own: Mapping[str, Any], inside: str) -> tuple[str, ...]:  # noqa: ARG002 - a strategy may take in more
        """Return the files and folders below the repository's top that releases are made from; ``.`` for all of them.

        Args:
            own: The strategy's section of ``deployment.yaml``.
            inside: The module's folder below the repository's top; ``.`` where it is the top.
        """
        return (inside,)

    def is_bulky(self, staged: Staged) -> bool:  # noqa: ARG002 - it may depend on what was taken in
        """Tell whether the OpenSSH connection is worth opening before anybody knows what the host has already."""
        return self.bulk

    def build(
        self,
        staged: Staged,  # noqa: ARG002 - a strategy may build something of it
        tell: Callable[[str], None],  # noqa: ARG002 - the same
    ) -> Mapping[str, Any]:
        """Build, on this machine and once for all hosts, what is more than files.

        Args:
            staged: What was taken in.
            tell: Told which step this machine is in.

        Returns:
            What ``RELEASE.json`` is to say of it; with ``image``, the code server starts from that.
        """
        return {}

    def commands(
        self,
        own: Mapping[str, Any],  # noqa: ARG002 - a strategy may run something
        staged: Staged,  # noqa: ARG002 - the same
        place: ReleaseFolder,  # noqa: ARG002 - the same
        lacking: Sequence[str],  # noqa: ARG002 - the same
    ) -> list[str]:
        """Return what would be run to build a release and to bring it to a host, as a person would type it here.

        Args:
            own: The strategy's section of ``deployment.yaml``.
            staged: What was taken in.
            place: Where it would come to be; nothing is asked of it.
            lacking: The manifest's lines that the current release has not.
        """
        return []

    @abstractmethod
    def transfer(self, module: Path, own: Mapping[str, Any], staged: Staged, place: ReleaseFolder) -> None:
        """Have exactly these files in the place's folder on the host."""


class PipelineStrategy(Steps, ABC):
    """How a platform is told to carry out another strategy, which ``deployment.yaml`` names under ``carries_out``."""

    #: Patterns of where its pipelines may stand below a repository's top, and each file's ``kind`` (``PipelineFile``).
    places: Mapping[str, SharedFile | None]

    @abstractmethod
    def file(self, deployment: Deployment, inside: str) -> PipelineFile:
        """Return the file that the platform reads.

        Args:
            deployment: What is to be deployed.
            inside: The module's folder in its repository; ``.`` where that is the repository.
        """

    @abstractmethod
    def summary(self, deployment: Deployment) -> str:
        """Say in a few words who deploys, and when."""

    def lacking(self, deployment: Deployment) -> list[str]:  # noqa: ARG002 - a platform may take all of it by itself
        """Return what the repository has and the pipeline would not take."""
        return []


#: Where a guide names what may change, and the name: given the name of the pipeline's file.
Mentions = Callable[[str], Sequence[tuple[re.Pattern[str], str]]]


@dataclass(frozen=True)
class PipelineFile:
    """A file in a repository that a platform finds a pipeline in.

    Attributes:
        places: Where it may be, below the repository's top, the best one first.
        shares: Whether it can stand in the first place together with lines of others.
        kind: Its format, where parts of it can be marked as ours; None where it has to be ours as a whole.
        folder: The deployment's folder in the repository.
        mentions: Given the file's name, what stands before a name of this pipeline in its guide (group 1) with the name
            that it had, and the name that it has.
        text: What goes into it, beside these lines of others.
        beside: Further files that the jobs read, by their paths below the repository's top; the first line of each says
            what it is for.
        public: The lines of it that are the same for everybody, without the white space around them.
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
        ToolError: Its folder has no steps.
    """
    found: Strategy = _load(name, Strategy)
    return found


def load_pipeline(name: str) -> PipelineStrategy:
    """Return a strategy that has a pipeline carry out another one; it raises as ``load_strategy`` does."""
    found: PipelineStrategy = _load(name, PipelineStrategy)
    return found


def load_steps(name: str) -> Steps:
    """Return a strategy of either kind; it raises as ``load_strategy`` does."""
    found: Steps = _load(name, Steps)
    return found


def _load(name: str, kind: type[Steps]) -> Any:
    path = strategy_folder(name) / "steps.py"
    module = _module(path, f"deploy_strategies.steps_of_{name.replace('-', '_')}")
    found: list[Callable[[], Steps]] = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, kind) and one.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ToolError(f"{path} has {len(found)} classes of strategies, where there has to be one.")
    return found[0]()


@functools.cache
def _module(path: Path, name: str) -> ModuleType:
    """Return a strategy's module; a deployment asks for it a dozen times."""
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ToolError(f"{path} is missing: a strategy has its steps there.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

"""The description of a pipeline, for any platform: its file, its guide and messages are made from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dagster_module_builder.base.settings import PROJECTS
from dagster_module_builder.deploy.pipelines.registry_login import RegistryLogin, login_of
from dagster_module_builder.deploy.strategies.base import load_strategy

if TYPE_CHECKING:
    from pathlib import Path

    from dagster_module_builder.deploy.model.deployment import Deployment

PACKAGE = "dagster-module-builder"
#: The lock of this program, in the deployment's folder.
LOCK = "tool.lock"
GITLAB_IMAGE = "python:3.12-bookworm"
DEFAULTS = {"branch": "main", "tag": "v*", "runner": None, "image": GITLAB_IMAGE, "approvers": None}


@dataclass(frozen=True)
class Trigger:
    """What starts a pipeline; a person may start it at any time, too.

    Attributes:
        kind: ``push``: every push to the branch that changes the release. ``tag``: every matching tag. ``manual``: only
            a person.
        branch: The branch that is deployed, unless tags are.
        tag: The pattern of tags that are deployed; ``*`` stands for anything but a slash.
    """

    kind: Literal["push", "tag", "manual"]
    branch: str
    tag: str

    @property
    def is_tag(self) -> bool:
        """Whether tags are deployed instead of a branch."""
        return self.kind == "tag"

    @property
    def summary(self) -> str:
        """What starts it, in a few words: ``on a push to main``."""
        when = {"push": f"on a push to {self.branch}", "tag": f"on a tag {self.tag}"}
        return when.get(self.kind, f"by hand, from {self.branch}")


@dataclass(frozen=True)
class Pipeline:
    """The pipeline of one deployment.

    Attributes:
        module: The module's name.
        deployment: The deployment's name.
        inside: The module's folder below the repository's top; ``.`` for the top itself.
        platform: The platform: a name in ``platforms.PLATFORMS``.
        trigger: What starts it.
        sources: The files and folders below the repository's top that a release is made from; ``.`` for all of them.
        environment: The platform's environment, which has the secrets and asks for approval.
        tool: This program as pip installs it in the jobs.
        tests: Shell lines that test the module, in its folder.
        programs: The programs needed on the machine that makes a release.
        registry: The registry that an image is pushed to; None without one.
        runner: Label or tag of the machines; None for the platform's own.
        image: The image of GitLab's jobs.
        approvers: Who may approve in Jenkins, separated by commas; None for all who may build.
        url: Where people see the deployed system; None if that is not set.
        submodules: Whether jobs check out submodules, too.
        lfs: Whether jobs check out files of Git LFS.
        login: How the job that pushes logs in at the registry by its own token; None if it uses a password.
        comments: Whether a job comments on pull requests what they would change.
        previews: Whether pull requests get previews.
    """

    module: str
    deployment: str
    inside: str
    platform: str
    trigger: Trigger
    sources: tuple[str, ...]
    environment: str
    tool: str
    tests: tuple[str, ...]
    programs: tuple[str, ...]
    registry: str | None
    runner: str | None
    image: str
    approvers: str | None
    url: str | None = None
    submodules: bool = False
    lfs: bool = False
    login: RegistryLogin | None = None
    comments: bool = False
    previews: bool = False

    #: The variables of the secrets. Jenkins binds credentials to them, whose IDs begin with ``name``.
    key = "DEPLOY_SSH_KEY"
    settings = "DEPLOY_ENV"
    registry_user = "DEPLOY_REGISTRY_USER"
    registry_password = "DEPLOY_REGISTRY_PASSWORD"  # noqa: S105 - a variable's name
    #: A login that may only pull, which is all that a host gets.
    pull_user = "DEPLOY_REGISTRY_PULL_USER"
    pull_password = "DEPLOY_REGISTRY_PULL_PASSWORD"  # noqa: S105 - a variable's name
    #: May comment on pull requests, where the platform's jobs have no token for that.
    comment_token = "DEPLOY_COMMENT_TOKEN"  # noqa: S105 - a variable's name

    @property
    def name(self) -> str:
        """The name in its jobs, locks and credentials, different for each deployment of the repository."""
        return f"{self.module}-{self.deployment}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The variables of all secrets."""
        logins = (self.registry_user, self.registry_password, self.pull_user, self.pull_password)
        return self.key, self.settings, *(logins if self.registry else ())

    @property
    def comment_environment(self) -> str:
        """GitLab's environment for comments: jobs of merge requests have no variables that are protected."""
        return f"{self.environment}-comment"

    @property
    def preview_environment(self) -> str:
        """The platform's environment for previews, whose secrets are not production's."""
        return f"{self.environment}-preview"

    @property
    def credentials(self) -> dict[str, str]:
        """The IDs of Jenkins's credentials, by their content."""
        kinds = {"key": "ssh-key", "settings": "env", "registry": "registry", "pull": "registry-pull"}
        kinds |= {"comment": "comment"}
        return {kind: f"{self.name}-{end}" for kind, end in kinds.items()}

    @property
    def folder(self) -> str:
        """The deployment's folder below the repository's top."""
        return f"{self.inside}/deploy/{self.deployment}".removeprefix("./")

    @property
    def guide(self) -> str:
        """The path of the guide, which says how to make the secrets."""
        return f"{self.folder}/DEPLOYMENT.md"

    @property
    def lock(self) -> str:
        """The path of the lock with this program's requirements and their hashes, below the repository's top."""
        return f"{self.folder}/{LOCK}"

    @property
    def below(self) -> str:
        """The module's path behind the repository's top: ``/projects/sales``; empty if the module is the top."""
        return "" if self.inside == "." else f"/{self.inside}"

    @property
    def watched(self) -> tuple[str, ...]:
        """The paths whose changes make a new release; empty if any change does."""
        return () if "." in self.sources else self.sources

    @property
    def _standing(self) -> str:
        return f"/{PROJECTS}/{self.module}"

    @property
    def linked(self) -> bool:
        """Whether the jobs have to make a workspace with a link to the module, since the repository is not one."""
        return not self.below.endswith(self._standing)

    @property
    def root(self) -> str:
        """The workspace's path, in a job's shell."""
        return "$work/workspace" if self.linked else f"$PWD{self.below.removesuffix(self._standing)}"


def settings_of(deployment: Deployment) -> Mapping[str, Any]:
    """Return the pipeline's section of ``deployment.yaml``, with defaults for missing values."""
    section = {key: value for key, value in (deployment.pipeline or {}).items() if value is not None}
    return {**DEFAULTS, **section}


def trigger_of(deployment: Deployment) -> Trigger:
    """Return what starts the pipeline of a deployment."""
    own = settings_of(deployment)
    return Trigger(own["trigger"], own["branch"], own["tag"])


def describe(deployment: Deployment, inside: str) -> Pipeline:
    """Return the pipeline of a deployment.

    Args:
        deployment: The deployment.
        inside: The module's folder below the repository's top; ``.`` for the top itself.
    """
    own = settings_of(deployment)
    module, strategy = deployment.names.name, load_strategy(deployment.strategy)
    named = deployment.own.get("registry")
    registry = None if named in {None, "none"} else str(named)
    return Pipeline(
        module=module,
        deployment=deployment.name,
        inside=inside,
        platform=own["platform"],
        trigger=trigger_of(deployment),
        sources=strategy.sources(deployment.own, inside),
        environment=own.get("environment") or f"{module}-{deployment.name}",
        tool=own["tool"],
        tests=tuple(own.get("tests") or _test_lines(deployment.module)),
        programs=strategy.tools_here,
        registry=registry,
        runner=own["runner"],
        image=own["image"],
        approvers=own["approvers"],
        url=own.get("url"),
        submodules=bool(own.get("submodules")),
        lfs=bool(own.get("lfs")),
        login=login_of(own, registry),
        comments=bool(own.get("comment")),
        # See ``lacks_previews``.
        previews=bool(deployment.data.get("preview")) and own["platform"] != "jenkins",
    )


def lacks_previews(deployment: Deployment) -> str | None:
    """Return why the pipeline has no jobs for the deployment's previews, and what to do; None if nothing is lacking."""
    if not deployment.data.get("preview") or settings_of(deployment).get("platform") != "jenkins":
        return None
    name = f"--name {deployment.name}"
    return (
        "Jenkins's pipeline has no stages for previews: no build of Jenkins runs when a pull request is closed. Run "
        f"'deploy.preview \"$CHANGE_BRANCH\" {name} --comment' in a job of yours, and 'deploy.preview {name} --merged' "
        "in one that a timer starts."
    )


def _test_lines(module: Path) -> list[str]:
    constraints = "--constraint constraints.txt " if (module / "constraints.txt").is_file() else ""
    return [f"pip install --quiet {constraints}--editable '.[dev]' pytest", "pytest"]

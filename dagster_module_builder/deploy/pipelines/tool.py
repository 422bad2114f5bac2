"""This program as the jobs of a pipeline install it."""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dagster_module_builder.deploy.pipelines.description import LOCK, PACKAGE
from dagster_module_builder.programs.version_control import find

#: Made as ``CONTRIBUTING.md`` describes.
_LOCK = Path(__file__).parent / LOCK
_CURE = (
    f"Pass --set tool='{PACKAGE}==VERSION' for a version on an index that the jobs can reach, or "
    f"--set tool='{PACKAGE} @ git+https://…@COMMIT'."
)
_UNREACHABLE = "which needs a key that the jobs do not have, or exists on this machine only"


@dataclass(frozen=True)
class Installed:
    """How this program was installed here, for other machines that have to install the same.

    Attributes:
        requirement: The requirement for pip; None if no other machine can install it.
        reason: Why not.
    """

    requirement: str | None
    reason: str = ""

    @property
    def problem(self) -> str:
        """Why the jobs cannot install it, and what to do."""
        return f"The pipeline's jobs cannot install this program: {self.reason}. {_CURE}"


def installed_as() -> Installed:
    """Return this program as pip installs it elsewhere: the same commit if it comes from Git, else the version.

    pip and uv record where it was installed from (PEP 610).
    """
    distribution = importlib.metadata.distribution(PACKAGE)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    return from_origin(origin, distribution.version)


def from_origin(origin: dict[str, Any], version: str) -> Installed:
    """Return how other machines install a package with this origin.

    Args:
        origin: ``direct_url.json``, as PEP 610 describes it; empty for a package from an index.
        version: The installed version.
    """
    url = str(origin.get("url", ""))
    if not origin:
        return Installed(f"{PACKAGE}=={version}")
    if vcs := origin.get("vcs_info"):
        return _from_git(url, str(vcs["commit_id"]))
    if "archive_info" in origin and urlsplit(url).scheme == "https":
        return Installed(f"{PACKAGE} @ {url}")
    clone = Path(url.removeprefix("file://"))
    is_folder = origin.get("dir_info") is not None and clone.is_dir()
    return _from_clone(clone) if is_folder else Installed(None, f"it was installed from {url}")


def _from_clone(clone: Path) -> Installed:
    repository = find(clone)
    # git-remote(1): 2 means that there is no such remote.
    remote = repository.git("remote", "get-url", "origin", fine=(0, 2)) if repository else None
    commit = repository.commit() if repository else None
    if not repository or not remote or not commit:
        return Installed(None, f"it runs from {clone}, which has no remote 'origin'")
    if not repository.is_pushed(commit):
        return Installed(None, f"it runs from {clone}, whose commit {commit[:8]} is on no remote")
    return _from_git(remote, commit)


def _from_git(remote: str, commit: str) -> Installed:
    """Return the requirement for a commit of a repository that jobs can reach without a key."""
    if urlsplit(remote).scheme != "https":
        return Installed(None, f"it comes from {remote}, {_UNREACHABLE}")
    return Installed(f"{PACKAGE} @ git+{remote}@{commit}")


def problem_with(tool: str) -> str | None:
    """Return why the jobs could not install a tool; None if they may.

    A path is taken to be on the runner, and not checked.
    """
    _, at, url = tool.partition(" @ ")
    if urlsplit((url if at else tool).removeprefix("git+")).scheme in {"file", "ssh"}:
        return Installed(None, f"'tool' is {tool}, {_UNREACHABLE}").problem
    if not at and not re.search("==|[/@]", tool):
        return Installed(None, f"'tool' is {tool}, which pins no version").problem
    return None


def lock_of(tool: str) -> bytes:
    """Return the lock of this program's requirements, and of those that build it from Git, with hashes.

    https://pip.pypa.io/en/stable/topics/secure-installs/#hash-checking-mode
    """
    return f"# What {tool} needs; 'deploy.pipeline' writes it where 'tool' changes.\n".encode() + _LOCK.read_bytes()

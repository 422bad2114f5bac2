"""This program, as the jobs of a pipeline install it."""

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

#: As ``CONTRIBUTING.md`` says that it is made.
_LOCK = Path(__file__).parent / LOCK
_CURE = (
    f"Pass --set tool='{PACKAGE}==VERSION' for a version on an index that the jobs reach, or "
    f"--set tool='{PACKAGE} @ git+https://…@COMMIT'."
)
_UNREACHABLE = "for which the jobs have no key, or which is on this machine only"


@dataclass(frozen=True)
class Installed:
    """How this program came here, for machines that have to install the same.

    Attributes:
        requirement: What pip is given there; None where no other machine can install it from where it came.
        reason: Why not.
    """

    requirement: str | None
    reason: str = ""

    @property
    def problem(self) -> str:
        """Why the jobs cannot install it, and what to do."""
        return f"The pipeline's jobs cannot install this program: {self.reason}. {_CURE}"


def installed_as() -> Installed:
    """Return this program as pip installs it elsewhere: the same commit where it comes from Git, else the version.

    Where it was installed from is what PEP 610 has pip and uv write down.
    """
    distribution = importlib.metadata.distribution(PACKAGE)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    return from_origin(origin, distribution.version)


def from_origin(origin: dict[str, Any], version: str) -> Installed:
    """Return how other machines install what came from an origin.

    Args:
        origin: ``direct_url.json``, as PEP 610 describes it; empty where it came from an index.
        version: The version that is installed.
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
    # git-remote(1): 2 where there is no such remote.
    remote = repository.git("remote", "get-url", "origin", fine=(0, 2)) if repository else None
    commit = repository.commit() if repository else None
    if not repository or not remote or not commit:
        return Installed(None, f"it runs from {clone}, which has no remote 'origin'")
    if not repository.is_pushed(commit):
        return Installed(None, f"it runs from {clone}, whose commit {commit[:8]} is on no remote")
    return _from_git(remote, commit)


def _from_git(remote: str, commit: str) -> Installed:
    """Return a commit of a repository that jobs without any key can reach."""
    if urlsplit(remote).scheme != "https":
        return Installed(None, f"it comes from {remote}, {_UNREACHABLE}")
    return Installed(f"{PACKAGE} @ git+{remote}@{commit}")


def problem_with(tool: str) -> str | None:
    """Say why the jobs could not install a tool; None where nothing speaks against it.

    A path is taken for one on the runner: who types it knows what lies there.
    """
    _, at, url = tool.partition(" @ ")
    if urlsplit((url if at else tool).removeprefix("git+")).scheme in {"file", "ssh"}:
        return Installed(None, f"'tool' is {tool}, {_UNREACHABLE}").problem
    if not at and not re.search("==|[/@]", tool):
        return Installed(None, f"'tool' is {tool}, which pins no version").problem
    return None


def lock_of(tool: str) -> bytes:
    """Return what this program needs, and what builds it from Git, with hashes as pip checks them.

    https://pip.pypa.io/en/stable/topics/secure-installs/#hash-checking-mode
    """
    return f"# What {tool} needs; 'deploy.pipeline' writes it where 'tool' changes.\n".encode() + _LOCK.read_bytes()

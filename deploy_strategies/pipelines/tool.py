"""This program, as the jobs of a pipeline install it."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path

from dagster_module_builder.version_control import find
from deploy_strategies.pipelines.description import PACKAGE


def installed_as() -> str:
    """Return this program as pip installs it elsewhere: the same commit where it comes from Git, else the version.

    Where it was installed from is what PEP 610 has pip and uv write down.
    """
    distribution = importlib.metadata.distribution(PACKAGE)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    pinned = f"{PACKAGE}=={distribution.version}"
    if vcs := origin.get("vcs_info"):
        return f"{PACKAGE} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    clone = Path(str(origin.get("url", "")).removeprefix("file://"))
    repository = find(clone) if origin.get("dir_info") and clone.is_dir() else None
    if repository is None:
        return pinned
    # git-remote(1): 2 where there is no such remote.
    url = repository.git("remote", "get-url", "origin", fine=(0, 2))
    commit = repository.commit()
    return f"{PACKAGE} @ git+{_as_url(url)}@{commit}" if url and commit else pinned


def _as_url(remote: str) -> str:
    """Write ``user@host:path``, which only Git understands, as a URL."""
    short = re.fullmatch(r"(?:([\w.-]+)@)?([\w.-]+):(?!//)(.+)", remote)
    return f"ssh://{short[1] or 'git'}@{short[2]}/{short[3].lstrip('/')}" if short else remote

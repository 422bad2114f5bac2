"""Git repositories that modules are in."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.deploy.sites import Site


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=x", "-c", "user.email=x@x", "-c", "protocol.file.allow=always"]
    return subprocess.run(
        ["git", *settings, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def settings(site: Site, strategy: str = "git", **changes: object) -> None:
    path = site.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data.setdefault(strategy, {}).update(changes)
    path.write_text(yaml.safe_dump(data))

"""The deployment that the skill's examples speak of."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.repositories import git
from tests.deploy.sites import Site


def named_staging(site: Site) -> None:
    """Let the site's deployment have the name that the skill's examples use."""
    folder = (site.module / "deploy/yoda").rename(site.module / "deploy/staging")
    text = (folder / "deployment.yaml").read_text()
    (folder / "deployment.yaml").write_text(text.replace("deployment: yoda", "deployment: staging"))


def published(module: Path, remote: Path) -> None:
    """Commit a module but for its secrets, and push it."""
    with (module / ".gitignore").open("a") as file:
        file.write(".env\n.env.deploy\n")
    for command in (
        ("init", "-q", "--bare", remote),
        ("init", "-q"),
        ("remote", "add", "origin", remote),
        ("add", "."),
        ("commit", "-qm", "first"),
        ("push", "-qu", "origin", "HEAD"),
    ):
        git(module, *command)

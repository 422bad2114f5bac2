"""``python -m docs_site [FOLDER]`` writes the site's sources and has MkDocs build them; any warning fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs_site.generated_pages import generated
from docs_site.repository_pages import ROOT, pages

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
#: The link that a page has to the project, by its names in ``[project.urls]``.
REPOSITORY_NAMES = ("repository", "source", "homepage")


def project() -> dict[str, Any]:
    """Return the ``[project]`` table of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return table


def of_project(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return what pyproject.toml says of the site, as settings of MkDocs; no address is made up."""
    urls = {name.lower(): url for name, url in table.get("urls", {}).items()}
    repository = next((urls[name] for name in REPOSITORY_NAMES if name in urls), None)
    settings: dict[str, Any] = {"site_name": table["name"], "site_description": table["description"]}
    # With `repo_url`, every page would ask the repository's server for its stars.
    link = {"icon": "material/source-repository", "link": repository, "name": "Source"}
    settings |= {"extra": {"social": [link]}} if repository else {}
    return settings | ({"site_url": urls["documentation"]} if "documentation" in urls else {})


def write_sources(folder: Path) -> None:
    """Write every page and picture of the site."""
    shutil.rmtree(folder, ignore_errors=True)
    for place, content in (*pages(), *generated()):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(content)


def built(folder: Path, more: Mapping[str, Any] | None = None) -> int:
    """Have MkDocs make ``site`` of ``site-sources`` in a folder; return its exit status: any warning fails.

    Args:
        folder: Where both are.
        more: Further settings of MkDocs.
    """
    settings = folder / "mkdocs.yml"
    of_folders = {"INHERIT": os.fspath(HERE / settings.name), "theme": {"custom_dir": os.fspath(HERE / "theme")}}
    # JSON is YAML.
    settings.write_text(json.dumps({**of_folders, **of_project(project()), **(more or {})}, indent=2), "utf-8")
    # Material's advertisement for its successor is a warning of no page.
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", os.fspath(settings)]
    # With --quiet, MkDocs 1.6 does not count warnings either.
    done = subprocess.run(build, cwd=folder, env=environ, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    return done.returncode


def main(arguments: Sequence[str]) -> int:
    """Build the site in a folder, by default ``build``; return the exit status."""
    folder = Path(*arguments).resolve() if arguments else ROOT / "build"
    folder.mkdir(parents=True, exist_ok=True)
    write_sources(folder / "site-sources")
    return built(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

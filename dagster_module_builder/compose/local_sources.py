"""Requirements that come from folders of this machine, and whether the image that installs them has these folders.

The image only gets a module's ``pyproject.toml`` (its code is mounted), and uv resolves ``[tool.uv.sources]`` relative
to that file in the image (https://docs.astral.sh/uv/concepts/projects/dependencies/#dependency-sources).
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dagster_module_builder.compose.dockerignore import path_in_context
from dagster_module_builder.compose.image import Image
from dagster_module_builder.compose.stack import Reader
from dagster_module_builder.shared_files.formats import toml_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BY_FILE = re.compile(r"@\s*(?:file:(?://)?)?([./][^;\s]*)")
_PROJECT = "pyproject.toml"


@dataclass(frozen=True)
class LocalSource:
    """A requirement that comes from a folder.

    Attributes:
        package: The package's name.
        path: The folder in the requirement; None for a member of a uv workspace.
    """

    package: str
    path: str | None


def local_sources(pyproject: bytes) -> Iterator[LocalSource]:
    """Find the requirements of a project that come from folders; none if the file cannot be read."""
    try:
        data = toml_text.parsed(pyproject)
        dependencies = [str(source) for source in data["project"].get("dependencies", ())]
        sources = data.get("tool", {}).get("uv", {}).get("sources", {})
    except (ValueError, LookupError, AttributeError, TypeError):
        return
    by_name = {_normalized(str(name)): wanted for name, wanted in sources.items()}
    for dependency in dependencies:
        name = _NAME.match(dependency.strip())
        if name is None:
            continue
        if written := _BY_FILE.search(dependency):
            yield LocalSource(name[0], written[1])
        wanted = by_name.get(_normalized(name[0]), [])
        for source in wanted if isinstance(wanted, list) else [wanted]:
            if isinstance(source, Mapping):
                yield from _local(name[0], source)


def _local(package: str, source: Mapping[str, Any]) -> Iterator[LocalSource]:
    if source.get("workspace"):
        yield LocalSource(package, None)
    elif "path" in source:
        yield LocalSource(package, str(source["path"]))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def works_out_requirements(pyproject: bytes) -> bool:
    """Return whether a project's requirements are known only when it is built (``dynamic``)."""
    try:
        return "dependencies" in toml_text.parsed(pyproject)["project"].get("dynamic", ())
    except (ValueError, LookupError, AttributeError, TypeError):
        return False


def takes_from_folders(pyproject: bytes) -> bool:
    """Return whether a project's requirements may need more files in the image than its ``pyproject.toml``."""
    return works_out_requirements(pyproject) or any(local_sources(pyproject))


@dataclass(frozen=True)
class Build:
    """How an image is built.

    Attributes:
        root: The workspace's root.
        context: The folder that is sent to the builder.
        dockerfile: The Dockerfile's path.
        image: The parsed Dockerfile.
        target: The stage that is built.
        read: Reads other files.
    """

    root: Path
    context: Path
    dockerfile: Path
    image: Image
    target: str | None
    read: Reader

    def places(self, path: Path) -> set[str]:
        """Return the paths in the image of a file or folder of this machine."""
        probe = next((path / name for name in (_PROJECT, "setup.py", "setup.cfg") if (path / name).is_file()), path)
        if path_in_context(self.context, self.dockerfile, probe, self.read) is None:
            return set()
        return {
            place for source, target in self.image.copied(self.target) if (place := self._put(path, source, target))
        }

    def _put(self, path: Path, source: str, target: str) -> str | None:
        copied = Path(os.path.normpath(self.context / source.lstrip("/")))
        if not path.is_relative_to(copied):
            return None
        if copied.is_dir():
            return posixpath.normpath(posixpath.join(target, path.relative_to(copied).as_posix()))
        return target + copied.name if target.endswith("/") else target


def unreachable(build: Build, module: Path) -> Iterator[tuple[str, str]]:
    """Find the requirements of a module that the image cannot install.

    Args:
        build: How the image is built.
        module: The module's folder.

    Yields:
        The problem and the cure.
    """
    text = build.read(module / _PROJECT) or b""
    folders = [posixpath.dirname(place) for place in build.places(module / _PROJECT)]
    if works_out_requirements(text) and not build.places(module):
        yield "its requirements are computed when it is built, from files that the image does not have", _LIST_THEM
    for source in local_sources(text):
        if source.path is None:
            yield f"{source.package} is a member of a uv workspace, which the image does not have", _BY_PATH
            continue
        path = Path(os.path.normpath(module / source.path))
        wanted = {posixpath.normpath(posixpath.join(folder, source.path)) for folder in folders}
        if not wanted & build.places(path):
            what = f"{source.package} comes from {source.path}, which the image does not have"
            yield what, _cure(build, path, next(iter(sorted(wanted)), ""))


_LIST_THEM = "List them in [project] dependencies"
_BY_PATH = "Name a release of it, a git URL or its path in [tool.uv.sources]"


def _cure(build: Build, path: Path, wanted: str) -> str:
    released = "Name a release or a git URL of it"
    if not wanted or not path.is_relative_to(build.context):
        return f"{released}, or move it into {build.root}"
    inside = path.relative_to(build.context)
    allowed = inside if path.is_relative_to(build.root / "projects") else inside.parts[0]
    return (
        f"{released}, or copy it into the image with a line '!{allowed}' in {build.context / '.dockerignore'} and a "
        f"line 'COPY {inside} {wanted}' before the modules' lines in {build.dockerfile}"
    )

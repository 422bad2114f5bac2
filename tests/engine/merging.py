"""One shared file, edited without a workspace around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.shared_files.formats.shared_file import Contribution, SharedFile
from dagster_module_builder.shared_files.merge import MergedFile, merge, open_layout
from dagster_module_builder.shared_files.registered_file import RegisteredFile

PATH = Path("services/dagster/file")
NOTHING = MergedFile(b"", {}, {})

Given = Mapping[str, Sequence[Contribution]]


def merged(
    kind: SharedFile, text: bytes, given: Given, before: MergedFile = NOTHING, *, force: bool = False
) -> MergedFile:
    """Bring what modules give into a file that was merged before."""
    known = RegisteredFile(before.digests, before.scaffolds)
    return merge(PATH, kind, open_layout(PATH, kind, text, known), given, known, force=force)


def without(kind: SharedFile, before: MergedFile, *markers: str) -> bytes | None:
    """Return a merged file with the blocks of these modules taken out."""
    return merged(kind, before.text or b"", {marker: [] for marker in markers}, before).text


def service(name: str = "seo_db") -> Contribution:
    """Return a service for a Compose file."""
    return Contribution(("services",), mapping=(f"{name}:".encode(), b"  image: x"))


def dependency(service_name: str = "web", on: str = "seo_db") -> Contribution:
    """Return what makes a service wait for another one, for either form of ``depends_on``."""
    mapping = (f"{on}:".encode(), b"  condition: service_healthy")
    return Contribution(("services", service_name, "depends_on"), mapping, (f"- {on}".encode(),))


def location(name: str = "seo") -> Contribution:
    """Return an entry for a ``workspace.yaml``."""
    return Contribution(("load_from",), sequence=(b"- python_module:", f"    module_name: {name}".encode()))

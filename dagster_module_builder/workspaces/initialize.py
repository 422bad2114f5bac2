"""Make an empty workspace: ``workspace.init``."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_module_builder.base import ports, settings
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.base.layout import layout_of
from dagster_module_builder.base.settings import LAYOUT_FILE
from dagster_module_builder.templating.rendering import render
from dagster_module_builder.templating.template_folders import WORKSPACE_TEMPLATE, staging
from dagster_module_builder.transactions.lock import provide_key
from dagster_module_builder.workspaces import neighbours

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What makes a folder a workspace.
MARK = settings.SERVICES / "workspace.yaml"

#: The port of Dagster's page, if it is free.
FIRST_PAGE_PORT = 3000

#: Entries of the template, in the order in which they are moved into an existing folder. The mark comes after them.
_ENTRIES = (
    Path(".gitignore"),
    Path(".dockerignore"),
    Path("README.md"),
    Path(LAYOUT_FILE),
    settings.DATA,
    settings.PROJECTS,
)


@dataclass(frozen=True)
class Initialized:
    """What ``initialize`` did: the files that it made, and the entries that existed and were kept."""

    root: Path
    made: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was made."""
        return bool(self.made)


def is_workspace(root: Path) -> bool:
    """Tell whether there is a workspace at ``root``."""
    return layout_of(root).workspace_file.is_file()


def initialize(root: Path, answers: Mapping[str, str] | None = None, *, lasting: bool = True) -> Initialized:
    """Make a workspace at ``root``; an existing one is left as it is.

    Args:
        root: May not exist, be empty, or hold other files, which are not changed.
        answers: By question: ``network``, ``port``, ``project``, ``python_image``, ``postgres_image``,
            ``run_launcher``, ``isolation``.
        lasting: Whether workspaces that are made later avoid its project, network and port.

    Raises:
        RefusedError: ``root`` is not a folder, has an unknown ``services/dagster``, or an answer is refused.
    """
    if is_workspace(root):
        return Initialized(root)
    _refuse_what_is_in_the_way(root)
    with (
        neighbours.one_at_a_time() if lasting else nullcontext(),
        staging(_nearest_folder(root)) as folder,
    ):
        complete = {**_chosen(root, answers or {}), "name": "workspace"}
        rendered = render(WORKSPACE_TEMPLATE, complete, folder, {"WORKSPACE_ROOT": str(root.absolute())})
        (rendered / settings.KEY).parent.mkdir(exist_ok=True)
        provide_key(rendered)
        files = tuple(sorted(path.relative_to(rendered) for path in rendered.rglob("*") if path.is_file()))
        kept = _move(rendered, root)
        if lasting:
            neighbours.remember(root)
    made = tuple(root / file for file in files if not any(entry in (file, *file.parents) for entry in kept))
    return Initialized(root, made, tuple(root / entry for entry in kept))


def _chosen(root: Path, answers: Mapping[str, str]) -> dict[str, str]:
    """Return the answers, with a project, a network and a port that no other workspace of this machine has."""
    project = neighbours.free_name(project_name(root), neighbours.taken("COMPOSE_PROJECT_NAME", root))
    chosen = {"project": project, **answers}
    chosen.setdefault("network", f"{chosen['project']}-net")
    if "port" not in chosen:
        others = {int(port) for port in neighbours.taken("DAGSTER_PORT", root) if port.isdigit()}
        chosen["port"] = str(ports.next_free_port(others, FIRST_PAGE_PORT))
    return chosen


def project_name(root: Path) -> str:
    """Return the Compose project's name for a workspace at ``root``: its folder's, in letters that Compose takes."""
    ascii_name = unicodedata.normalize("NFKD", root.name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", ascii_name).strip("-_")[:40] or "workspace"


def _nearest_folder(path: Path) -> Path:
    return path if path.is_dir() else _nearest_folder(path.parent)


def _refuse_what_is_in_the_way(root: Path) -> None:
    if os.path.lexists(root) and not root.is_dir():
        raise RefusedError(f"{root} is not a folder. Pass another one with --root.")
    services = root / settings.SERVICES
    if os.path.lexists(services):
        raise RefusedError(f"{services} exists, but has no {MARK.name}. Move it away, or add {MARK.name} by hand.")
    if os.path.lexists(services.parent) and not services.parent.is_dir():
        raise RefusedError(f"{services.parent} is not a folder. Move it away, or pass another root with --root.")


def _move(rendered: Path, root: Path) -> list[Path]:
    """Move the rendered entries into place, all or none; return those that ``root`` had already and kept."""
    if not root.is_dir():
        root.parent.mkdir(parents=True, exist_ok=True)
        rendered.rename(root)
        return []
    kept = [entry for entry in _ENTRIES if os.path.lexists(root / entry)]
    moved: list[Path] = []
    try:
        for entry in [*(entry for entry in _ENTRIES if entry not in kept), settings.SERVICES]:
            if not (root / entry).parent.is_dir():
                (root / entry).parent.mkdir()
                moved.append(entry.parent)
            (rendered / entry).rename(root / entry)
            moved.append(entry)
    except BaseException:
        for entry in reversed(moved):
            _remove(root / entry)
        raise
    return kept


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()

"""Repositories that run Dagster without containers: ``dg.toml``, ``pyproject.toml``, or a workspace file alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.locations import Containers, entries_of, location_of_target, locations_of_file
from dagster_module_builder.adoption.model import WORKSPACE_FLAG, Location, Place, Question, Refusal, Survey, Target
from dagster_module_builder.adoption.proposal import proposed_workspace
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.adoption.targets import targets_of_project, toml_of
from dagster_module_builder.base.settings import FRAGMENTS
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.shared_files.blocks import Layout, split_lines
from dagster_module_builder.shared_files.formats import dg_toml, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError

#: The values of Dagster's chart, a chart that depends on it, or a manifest that starts it.
_CHART = re.compile(
    rb"^\s*(?:dagster-user-deployments|dagsterWebserver|dagsterDaemon|userDeployments):|K8sRunLauncher"
    rb"|^\s*repository:\s*[\"']?https://dagster-io\.github\.io/helm|^kind:\s*(?:Deployment|StatefulSet)\b[\s\S]*dagster",
    re.MULTILINE,
)


def native_survey(repository: Repository, workspace_file: Path | None) -> Survey:
    """Return what a repository without a Compose project of Dagster's has."""
    if workspace_file:
        return _of_file(repository, workspace_file)
    modules = _modules(repository)
    settings = [path for path in _named(repository, r"dg\.toml|pyproject\.toml") if not modules & set(path.parents)]
    for path in sorted(settings, key=lambda path: path.name != "dg.toml"):
        if _is_dg_workspace(repository, path):
            return _of_dg(repository, path)
    files = [path for path in _named(repository, r"workspace\.ya?ml") if not modules & set(path.parents)]
    loading = [path for path in files if entries_of(repository, path)]
    chosen = [path for path in loading if path.parent == Path()] or loading
    if len(chosen) > 1:
        what = "Several workspace files load code. Which one is it?"
        return Survey(repository.root, questions=(Question(what, tuple(map(str, chosen)), WORKSPACE_FLAG),))
    if chosen:
        return _of_file(repository, chosen[0])
    return _of_projects(repository, settings) or Survey(repository.root, refusals=(_reason(repository),))


def _named(repository: Repository, pattern: str) -> list[Path]:
    return [repository.inside(path) for path in repository.named(pattern)]


def _modules(repository: Repository) -> set[Path]:
    """Return the folders of this program's modules: what they say is added to a workspace, and describes none."""
    fragments = [path.parent for path in _named(repository, r"workspace\.ya?ml")]
    return {folder.parents[1] for folder in fragments if folder.as_posix().endswith(f"/{FRAGMENTS}")}


def _of_file(repository: Repository, path: Path) -> Survey:
    found = locations_of_file(Containers(repository, (), {}), path, None)
    return Survey(repository.root, "native", workspace_file=path, locations=tuple(found))


def _of_projects(repository: Repository, settings: Sequence[Path]) -> Survey | None:
    """Return a survey of projects that Dagster finds by their ``pyproject.toml``, with a workspace file for all."""
    targets: list[tuple[Target, Path]] = []
    for path in settings:
        dg_folder = (repository.root / path).parent.name if path.name == "dg.toml" else None
        targets.extend((target, path.parent) for target in targets_of_project(repository, path, dg_folder))
    if not targets:
        return None
    containers = Containers(repository, (), {})
    first = targets[0][0].place
    return Survey(
        repository.root,
        "native",
        dg_workspace=first.path if first and len({folder for _, folder in targets}) == 1 else None,
        locations=tuple(location_of_target(containers, None, target, folder) for target, folder in targets),
        proposed_workspace=proposed_workspace([replace(target, working_dir=str(folder)) for target, folder in targets]),
        proposed_path=Path(workspace_yaml.NAME),
    )


def _reason(repository: Repository) -> Refusal:
    """Return why a repository has nothing to adopt."""
    for path in repository.named(r".*\.ya?ml"):
        if _CHART.search(repository.read(path) or b""):
            reason = "Dagster runs on Kubernetes here, by its Helm chart or by manifests, and not by Compose"
            return Refusal(reason, Place(repository.inside(path)), "Deploy modules with images.")
    for path in repository.named(r"dagster_cloud\.ya?ml"):
        reason = "Dagster+ runs this code, and no Compose project or workspace file does"
        return Refusal(reason, Place(repository.inside(path)))
    return Refusal("No Compose service, workspace file, dg.toml or [tool.dagster] of this repository runs Dagster")


def _dg_settings(repository: Repository, path: Path) -> Mapping[str, Any]:
    data = toml_of(repository, path)
    return data if path.name == dg_toml.NAME else table(data, "tool", "dg")


def _is_dg_workspace(repository: Repository, path: Path) -> bool:
    settings = _dg_settings(repository, path)
    return settings.get("directory_type") == "workspace" or bool(table(settings, "workspace").get("projects"))


def _of_dg(repository: Repository, path: Path) -> Survey:
    found = tuple(_dg_projects(repository, path))
    whole = Survey(repository.root, "native", dg_workspace=path, locations=found)
    try:
        dg_toml.FILE.prepare(Layout(split_lines(repository.read(repository.root / path) or b"")), (), ())
    except UnsafeEditError as error:
        why = f"{error.reason[:1].upper()}{error.reason[1:]}"
        return replace(whole, refusals=(Refusal(why, Place(path, error.position + 1)),))
    return whole


def _dg_projects(repository: Repository, path: Path) -> list[Location]:
    """Return the projects of a dg workspace."""
    entries = table(_dg_settings(repository, path), "workspace").get("projects")
    found = []
    for entry in entries if isinstance(entries, list) else []:
        folder = path.parent / str(entry.get("path")) if isinstance(entry, dict) else path.parent
        target = next(iter(targets_of_project(repository, folder / "pyproject.toml", folder.name)), None)
        name = (target.location_name if isinstance(target, Target) else None) or folder.name
        found.append(Location(name, "dg_project", None, folder, Place(path)))
    return found

"""Reading a repository: which of its Compose projects runs Dagster, how, and what this program can do there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.adoption.instance import instance_of
from dagster_module_builder.adoption.judgement import judged
from dagster_module_builder.adoption.locations import Containers, location_of_target, locations_of_file
from dagster_module_builder.adoption.model import (
    WORKSPACE_FLAG,
    ComposeFiles,
    DagsterService,
    Fit,
    LauncherKind,
    Location,
    Place,
    Question,
    Refusal,
    Role,
    Survey,
)
from dagster_module_builder.adoption.native import native_survey
from dagster_module_builder.adoption.projects import Candidate, chosen_project
from dagster_module_builder.adoption.proposal import with_others_changed, with_proposal
from dagster_module_builder.adoption.repository import Repository


def survey(
    repository: Path,
    compose_files: Sequence[Path] = (),
    workspace_file: Path | None = None,
    roles: Mapping[str, tuple[Role, ...]] | None = None,
    planned: Mapping[Path, bytes] | None = None,
) -> Survey:
    """Look through a repository for the Dagster that it runs. Nothing is written or started.

    Args:
        repository: Its root.
        compose_files: The files of the Compose project, in order and relative to it; empty to look for them.
        workspace_file: The workspace file, relative to it, if several are read or none can be traced.
        roles: What services start, where the project does not say it.
        planned: Files that are read as if they had this content; relative to the root.
    """
    root = Path(os.path.normpath(repository.absolute()))
    found = Repository(root, {root / path: text for path, text in (planned or {}).items()})
    if workspace_file is not None and not (root / workspace_file).is_file():
        return Survey(root, refusals=(Refusal("This file does not exist", Place(workspace_file), "Name another one."),))
    choice = chosen_project(found, compose_files, roles or {})
    if choice.candidate is not None:
        whole = _of_project(found, choice.candidate, workspace_file)
        whole = replace(whole, questions=(*choice.questions, *whole.questions), notes=(*choice.notes, *whole.notes))
        # While it is not known what services start, nothing can be said against them.
        return replace(whole, refusals=()) if choice.questions else whole
    if choice.questions or choice.refusals:
        return Survey(root, questions=choice.questions, refusals=choice.refusals)
    return native_survey(found, workspace_file)


def _of_project(repository: Repository, candidate: Candidate, workspace_file: Path | None) -> Survey:
    services = candidate.services
    by_name = {service.name: container for service, container in candidate.containers.items()}
    containers = Containers(repository, services, by_name)
    loading = [service for service in services if service.loads_code]
    instance = instance_of(containers, loading)
    read = _workspace_files(loading)
    chosen = workspace_file or (read[0] if len(read) == 1 else None)
    whole = Survey(
        repository=repository.root,
        kind="compose",
        compose=_compose_files(repository, candidate),
        services=services,
        workspace_file=chosen,
        instance_file=instance.path,
        env_files=_env_files(repository, candidate),
        launcher=instance.launcher,
        locations=tuple(_locations(containers, loading, chosen)),
        fit=_fit(services, instance.launcher),
        questions=_questions(read) if chosen is None else (),
    )
    if chosen is None and not read and any(service.targets for service in loading):
        whole = with_proposal(whole, containers, loading, repository.inside(candidate.project.folder))
    elif chosen is not None:
        whole = with_others_changed(whole, containers, loading)
    return judged(repository, whole, instance.class_name)


def _fit(services: Sequence[DagsterService], launcher: LauncherKind) -> Fit:
    """Return where modules can run: with Celery's launcher, workers run the code too."""
    needing = [one for one in services if one.loads_code or (launcher == "celery" and "worker" in one.roles)]
    return "shared" if needing and all(one.fit == "shared" for one in needing) else "own"


def _compose_files(repository: Repository, candidate: Candidate) -> ComposeFiles:
    project = candidate.project
    env = project.env_file
    return ComposeFiles(
        files=tuple(map(repository.inside, project.files)),
        all_files=tuple(map(repository.inside, project.all_files)),
        folder=repository.inside(project.folder),
        folders={repository.inside(file): repository.inside(folder) for file, folder in project.folders.items()},
        name=project.stack.project,
        env_file=repository.inside(env) if env.is_file() else None,
        needs_flags=not candidate.found_by_compose,
    )


def _env_files(repository: Repository, candidate: Candidate) -> tuple[Path, ...]:
    own = candidate.project.env_file
    first = [repository.inside(own)] if own.is_file() else []
    return tuple(dict.fromkeys([*first, *(path for service in candidate.services for path in service.env_files)]))


def _workspace_files(loading: Sequence[DagsterService]) -> list[Path]:
    found = [service.workspace.path for service in loading if service.workspace and service.workspace.path]
    return list(dict.fromkeys(found))


def _questions(read: Sequence[Path]) -> tuple[Question, ...]:
    if len(read) < 2:
        return ()
    what = "Several workspace files are read. Which one are modules added to?"
    return (Question(what, tuple(map(str, read)), WORKSPACE_FLAG),)


def _locations(containers: Containers, loading: Sequence[DagsterService], path: Path | None) -> list[Location]:
    if path is not None:
        reader = next((one for one in loading if one.workspace and one.workspace.path == path), None)
        seen_at = reader.workspace.container_path if reader and reader.workspace else None
        return list(locations_of_file(containers, path, containers.by_name[reader.name] if reader else None, seen_at))
    by_value = {target.value: (service, target) for service in loading for target in service.targets}
    return [
        location_of_target(containers, containers.by_name[service.name], target, None)
        for service, target in by_value.values()
    ]

"""Why a project that was understood cannot be adopted, what is still to be asked, and what a person should know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dagster_module_builder.adoption.model import WORKSPACE_FLAG, DagsterService, Place, Question, Refusal, Survey
from dagster_module_builder.adoption.repository import Repository


def judged(repository: Repository, whole: Survey, launcher_class: str) -> Survey:
    """Return a survey with its refusals, questions and notes.

    Args:
        repository: The repository.
        whole: The survey.
        launcher_class: The class of the run launcher.
    """
    refusals = [*whole.refusals, *_refusals(whole, launcher_class)]
    questions = list(whole.questions)
    if not refusals and not questions and whole.workspace_file is None and whole.proposed_workspace is None:
        choices = [repository.inside(path) for path in repository.named(r"workspace[\w.-]*\.ya?ml")]
        if choices and _may_be_any(_untraced(whole)):
            questions.append(_which_file(whole, tuple(map(str, choices))))
        else:
            refusals.append(_no_file(whole))
    return replace(
        whole,
        refusals=tuple(refusals),
        questions=tuple(questions),
        notes=(*whole.notes, *_notes(whole, launcher_class)),
    )


def _loading(whole: Survey) -> list[DagsterService]:
    return [service for service in whole.services if service.loads_code]


def _refusals(whole: Survey, launcher_class: str) -> Iterator[Refusal]:
    loading = _loading(whole)
    instance = Place(whole.instance_file) if whole.instance_file else None
    if not loading:
        reason = "This Compose project serves code, but no webserver and no daemon of it reads a workspace"
        yield Refusal(reason, whole.services[0].place, "Adopt the repository that has the webserver.")
    if whole.launcher == "kubernetes":
        cure = "Deploy modules with images, and add them to the chart's code locations."
        yield Refusal(
            f"Runs go to Kubernetes ({launcher_class}), whose images this program does not build", instance, cure
        )
    if whole.launcher == "celery" and whole.fit == "own":
        unfit = next(one for one in whole.services if one.fit == "own" and (one.loads_code or "worker" in one.roles))
        reason = f"Runs go to Celery workers and need modules there, which {unfit.name} cannot have: {unfit.reason}"
        yield Refusal(reason, unfit.place, "Build its image here, and have it read a workspace file.")
    if loading and whole.workspace_file and not any(_reads(service, whole.workspace_file) for service in loading):
        read = sorted(
            {str(service.workspace.path) for service in loading if service.workspace and service.workspace.path}
        )
        cure = f"They read {', '.join(read)}." if read else "They read none, or one that cannot be traced."
        yield Refusal("No service reads this file", Place(whole.workspace_file), cure)
    outside = whole.workspace_file
    if outside is not None and outside.is_absolute():
        yield Refusal(
            f"The workspace file {outside} lies outside the repository", None, "Adopt the folder that has both."
        )


def _reads(service: DagsterService, path: Path) -> bool:
    found = service.workspace
    return found is not None and (found.path == path or (found.path is None and _may_be_any(service)))


def _untraced(whole: Survey) -> DagsterService:
    loading = _loading(whole)
    return next((service for service in loading if service.workspace), loading[0])


def _may_be_any(service: DagsterService) -> bool:
    """Return whether only its image knows what a service reads: a Dockerfile of the repository would say it."""
    unknown = service.workspace is None or service.workspace.container_path is None
    return unknown or service.image.is_prebuilt


def _where(service: DagsterService) -> str:
    path = service.workspace.container_path if service.workspace else None
    return f"{service.name} ({path})" if path else service.name


def _which_file(whole: Survey, choices: tuple[str, ...]) -> Question:
    service = _where(_untraced(whole))
    what = f"No mount and no Dockerfile shows where the workspace file of {service} comes from. Which is it?"
    return Question(what, choices, WORKSPACE_FLAG)


def _no_file(whole: Survey) -> Refusal:
    service = _untraced(whole)
    way = service.workspace.way if service.workspace else "missing"
    place = service.workspace.place if service.workspace and service.workspace.place else service.place
    if way == "inline":
        reason = f"The workspace file of {_where(service)} is text within another file"
        return Refusal(reason, place, "Write it to a file, and mount or copy that.")
    reason = f"The workspace file of {_where(service)} comes from no file of this repository"
    return Refusal(reason, place, f"Mount one into {service.name}, or copy it in its Dockerfile.")


def _notes(whole: Survey, launcher_class: str) -> Iterator[str]:
    loading = _loading(whole)
    roles = {role for service in loading for role in service.roles}
    if loading and not {"daemon", "dev"} & roles:
        yield "No service runs dagster-daemon, so schedules and sensors do not run"
    changed = {change.service for change in whole.command_changes}
    for service in loading:
        if whole.workspace_file is None or (service.workspace and service.workspace.path == whole.workspace_file):
            continue
        if service.workspace and _may_be_any(service):
            continue
        read = f"loads {service.targets[0].value}" if service.targets else "reads no workspace file that can be traced"
        cure = "; --write-workspace-file has it read that" if service.name in changed else ""
        unknown = f"it does not know what is added to {whole.workspace_file}"
        yield f"{service.place}: {service.name} {read}, so {unknown}{cure}"
    for service in whole.services:
        if service.profiles:
            yield f"{service.place}: {service.name} starts only with the profile {' or '.join(service.profiles)}"
    if whole.launcher == "other":
        yield f"Runs are started by {launcher_class}: whether they see a module's code is for you to check"

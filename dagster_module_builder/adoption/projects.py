"""The Compose projects of a repository, and which of them runs Dagster."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.model import DagsterService, Place, Question, Refusal, Role
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.adoption.services import dagster_services, unclear_services
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.compose.project_files import (
    MAIN_NAMES,
    OVERRIDE_NAMES,
    ProjectFiles,
    files_in,
    read_project,
    variables_in,
)

_COMPOSE = r".*compose.*\.ya?ml"
_MENTIONS = re.compile(rb"dagster|dagit|\bdg\W+dev\b", re.IGNORECASE)
#: Folders of what a repository shows, not runs.
_SHOWN = frozenset({"docs", "examples", "example", "experiments", "templates", ".devcontainer"})
FLAG = "--compose-file"
ROLE_FLAG = "--role"
ROLES: tuple[Role, ...] = ("webserver", "daemon", "dev", "code server", "worker")


@dataclass(frozen=True)
class Candidate:
    """A Compose project that runs something of Dagster.

    Attributes:
        project: Its files.
        containers: The containers of its services of Dagster.
        found_by_compose: Whether Compose finds the files in the folder without being told.
    """

    project: ProjectFiles
    containers: Mapping[DagsterService, Container]
    found_by_compose: bool

    @property
    def services(self) -> tuple[DagsterService, ...]:
        """Its services of Dagster, in its order."""
        return tuple(self.containers)

    @property
    def is_whole(self) -> bool:
        """Whether it has a page and a daemon, or ``dagster dev``, which is both."""
        roles = {role for service in self.services for role in service.roles}
        return "dev" in roles or {"webserver", "daemon"} <= roles

    @property
    def has_page(self) -> bool:
        """Whether a webserver is in it."""
        return any({"webserver", "dev"} & set(service.roles) for service in self.services)


@dataclass(frozen=True)
class Choice:
    """The project that was chosen, or why none was.

    Attributes:
        candidate: The project.
        questions: Which one it is to be.
        refusals: Why none can be taken.
        notes: What else there is.
    """

    candidate: Candidate | None = None
    questions: tuple[Question, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()


def chosen_project(repository: Repository, files: Sequence[Path], roles: Mapping[str, tuple[Role, ...]]) -> Choice:
    """Return the Compose project that runs Dagster.

    Args:
        repository: The repository.
        files: The files that a person names; empty to look for them.
        roles: The roles of services, as a person says.
    """
    search = _Search(repository, roles)
    if files:
        search.take([repository.root / file for file in files])
        candidates = search.seen
    else:
        candidates = _preferred(search.candidates())
    if unknown := search.unknown_roles():
        return Choice(refusals=tuple(unknown))
    if len(candidates) == 1:
        return _only(search, candidates[0])
    if candidates:
        choices = tuple(f" {FLAG} ".join(str(repository.inside(f)) for f in c.project.files) for c in candidates)
        return Choice(questions=(Question("Several Compose projects run Dagster. Which one is it?", choices, FLAG),))
    if files and not search.refusals and not search.questions:
        search.refusals.append(Refusal("This Compose project runs no Dagster", Place(files[0]), "Name another file."))
    return Choice(questions=tuple(search.questions), refusals=tuple(search.refusals))


def _only(search: _Search, candidate: Candidate) -> Choice:
    questions = () if candidate.has_page else tuple(search.questions)
    return Choice(candidate, questions, notes=search.variants_of(candidate))


def damage(repository: Repository, error: DamagedFileError) -> Refusal:
    """Return the refusal of a file that cannot be read."""
    path, _, line = error.place.rpartition(":")
    place = (
        Place(repository.inside(Path(path)), int(line))
        if line.isdigit() and path
        else Place(repository.inside(Path(error.place)))
    )
    return Refusal(error.problem[:1].upper() + error.problem[1:], place, error.way_out)


@dataclass
class _Search:
    repository: Repository
    roles: Mapping[str, tuple[Role, ...]]
    refusals: list[Refusal] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    seen: list[Candidate] = field(default_factory=list)
    #: Files beside a whole project, which change it or replace it where Compose is told so.
    variants: list[Path] = field(default_factory=list)

    def candidates(self) -> list[Candidate]:
        """Return the projects that run something of Dagster."""
        compose = self.repository.named(_COMPOSE)
        taken: set[Path] = set()
        for folder in dict.fromkeys(path.parent for path in compose):
            files = files_in(folder, variables_in(folder, self.repository.read), self.repository.read)
            taken.update(files)
            if files:
                self.take(files, found_in=folder)
        whole = {one.project.folder for one in self.seen if one.is_whole}
        for path in compose:
            if path in taken or path.name in {*MAIN_NAMES, *OVERRIDE_NAMES} or not self._mentions_dagster([path]):
                continue
            if path.parent in whole:
                self.variants.append(path)
            else:
                self.take(self._completed(path))
        return self.seen

    def take(self, files: list[Path], found_in: Path | None = None) -> None:
        """Read a project, and remember it if it runs something of Dagster.

        Args:
            files: Its files.
            found_in: The folder in which Compose finds them without being told.
        """
        try:
            project = read_project(files, self.repository.read, found_in)
        except DamagedFileError as error:
            if self._mentions_dagster(files):
                self.refusals.append(damage(self.repository, error))
            return
        containers = dagster_services(self.repository, project, self.roles)
        if not any(service.loads_code for service in containers):
            self.questions.extend(map(_role_question, unclear_services(project, [*containers])))
        if containers:
            self.seen.append(Candidate(project, containers, found_in is not None))

    def unknown_roles(self) -> list[Refusal]:
        """Return refusals for roles of services that no project has."""
        services = [name for one in self.seen for name in one.project.stack.services]
        if not services:
            return []
        return [
            Refusal(f"No service is named {name}", None, f"{ROLE_FLAG} takes one of: {', '.join(services)}.")
            for name in self.roles
            if name not in services
        ]

    def variants_of(self, chosen: Candidate) -> tuple[str, ...]:
        """Return notes on the other files and projects that mention Dagster."""
        inside = self.repository.inside
        notes = [
            f"{inside(path)} also mentions Dagster; to use it, name all files with {FLAG}"
            for path in self.variants
            if path.parent == chosen.project.folder
        ]
        mine = set(chosen.project.all_files)
        others = [one for one in self.seen if one.has_page and not mine.issuperset(one.project.files)]
        names = [", ".join(str(inside(file)) for file in one.project.files) for one in others]
        return (
            *notes,
            *(f"Dagster also runs in {named}; {FLAG} takes it instead" for named in names),
        )

    def _mentions_dagster(self, files: Sequence[Path]) -> bool:
        texts = [self.repository.read(path) or b"" for path in files]
        return any(_MENTIONS.search(text) or b"include:" in text or b"extends:" in text for text in texts) or any(
            _MENTIONS.search(self.repository.read(path) or b"")
            for folder in {path.parent for path in files}
            for path in self.repository.named("workspace.*|dagster.*")
            if path.is_relative_to(folder)
        )

    def _completed(self, path: Path) -> list[Path]:
        """Return a file with the one that it needs before it, if it is not whole by itself."""
        main = [other for other in files_in(path.parent, {}, self.repository.read) if other.name in MAIN_NAMES]
        try:
            alone = read_project([path], self.repository.read)
        except DamagedFileError:
            return [path]
        return [path] if not main or is_self_contained(alone.stack.data) else [*main, path]


def is_self_contained(data: Mapping[str, Any]) -> bool:
    """Return whether a project has what its services name: images, other services, networks, volumes."""
    services = data.get("services")
    known = services if isinstance(services, dict) else {}
    for service in known.values():
        if not isinstance(service, dict) or not {"image", "build"} & service.keys():
            return False
        if any(str(name) not in known for name in service.get("depends_on") or ()):
            return False
        networks = data.get("networks") or {}
        if any(str(name) not in {*networks, "default"} for name in service.get("networks") or ()):
            return False
    return bool(known)


def _preferred(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the projects between which a person has to choose: one, where the repository's order of things decides."""
    whole = (
        [one for one in candidates if one.is_whole] or [one for one in candidates if one.has_page] or list(candidates)
    )
    whole = [one for one in whole if not _SHOWN & set(one.project.folder.parts)] or whole
    included = {path for one in whole for path in one.project.all_files if path not in one.project.files}
    whole = [one for one in whole if not included.issuperset(one.project.files)]
    by_compose = [one for one in whole if one.found_by_compose]
    if by_compose:
        # Other files beside the one that Compose finds are variants of it.
        folders = {one.project.folder for one in by_compose}
        return by_compose + [one for one in whole if not one.found_by_compose and one.project.folder not in folders]
    return whole


def _role_question(name: str) -> Question:
    return Question(f"The project does not say what {name} starts. What is it?", ROLES, f"{ROLE_FLAG} {name}=ROLE")

"""What was found in a repository: values, which say nothing of how they were found.

Paths are relative to the repository, and absolute outside it: ``repository / path`` is the file either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

#: ``dev`` runs everything in one process (``dagster dev``); ``job`` runs something else of Dagster's and ends.
Role = Literal["webserver", "daemon", "dev", "code server", "worker", "job"]
#: What runs Dagster in an environment that only a project's lock changes: ``uv run``, ``poetry run``, …
Runner = Literal["uv", "poetry", "pdm", "pipenv", "hatch", "conda", "pixi", "rye"]
#: How a container starts Dagster; ``unknown`` if its image alone says it.
Start = Literal["direct", "script", "unknown"] | Runner
#: How a file reaches a container; ``missing`` if it does not, or not from this repository.
Way = Literal["mounted", "copied", "config", "inline", "missing"]
#: Where a module's code can run: in this service, or only in a separate code server.
Fit = Literal["shared", "own"]
Kind = Literal["compose", "native"]
#: The option that names the workspace file.
WORKSPACE_FLAG = "--workspace-file"
LauncherKind = Literal["default", "docker", "celery", "kubernetes", "other"]


@dataclass(frozen=True)
class Place:
    """A line of a file, counted from 1; None for the whole file."""

    path: Path
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.line else f"{self.path}"


@dataclass(frozen=True)
class BuiltImage:
    """The image of a service.

    Attributes:
        name: Its name, if the project names it.
        dockerfile: Its Dockerfile; None if it is prebuilt, or built elsewhere.
        context: The build context.
        target: The stage; None for the last.
        inline: Whether the Dockerfile is text in the Compose file.
        builder: The service that builds it, if that is another one.
    """

    name: str | None = None
    dockerfile: Path | None = None
    context: Path | None = None
    target: str | None = None
    inline: bool = False
    builder: str | None = None

    @property
    def is_prebuilt(self) -> bool:
        """Whether no Dockerfile of the project builds it."""
        return self.dockerfile is None and not self.inline


@dataclass(frozen=True)
class FoundFile:
    """A file that a container reads.

    Attributes:
        way: How it gets there.
        container_path: Its path there; None if the container's working directory is unknown.
        path: Its path here; None if it is not in this repository.
        place: What brings it: a mount, an instruction, a config.
        mounted_folder: Whether a whole folder is mounted, so that a replaced file is seen at once.
    """

    way: Way
    container_path: str | None
    path: Path | None = None
    place: Place | None = None
    mounted_folder: bool = False


@dataclass(frozen=True)
class Target:
    """Code that a command line or ``pyproject.toml`` names, without a workspace file.

    Attributes:
        kind: ``module`` (-m), ``file`` (-f) or ``package`` (--package-name).
        value: What it names.
        attribute: The object in it (-a).
        working_dir: The container's folder that imports start from (-d), or the process's own.
        place: Where it is written.
        location_name: The code location's name, where it is stated.
        started_in: The folder that the process starts in, which a file's path is relative to.
    """

    kind: Literal["module", "file", "package"]
    value: str
    attribute: str | None = None
    working_dir: str | None = None
    place: Place | None = None
    location_name: str | None = None
    started_in: str | None = None


@dataclass(frozen=True)
class DagsterService:
    """A service that runs something of Dagster.

    Attributes:
        name: Its name.
        roles: What it runs.
        image: Its image.
        start: How it starts.
        command: What its container runs, as far as the project says it.
        place: Where it is defined.
        working_dir: The container's working directory, if it is known.
        workspace: The workspace file that it reads, if it reads one.
        targets: What it loads without one.
        script: The script that starts it.
        env_files: The files of its variables.
        profiles: The profiles that it starts with; empty if it always starts.
        fit: Where a module's code can run.
        reason: Why.
        asks_servers: Whether ``module_servers`` of another service serve what it shows, so that it loads no code.
    """

    name: str
    roles: tuple[Role, ...]
    image: BuiltImage
    start: Start
    command: str
    place: Place
    working_dir: str | None = None
    workspace: FoundFile | None = None
    targets: tuple[Target, ...] = ()
    script: Path | None = None
    env_files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    fit: Fit = "own"
    reason: str = ""
    asks_servers: bool = False

    @property
    def loads_code(self) -> bool:
        """Whether it loads every code location."""
        return bool({"webserver", "daemon", "dev"} & set(self.roles))


@dataclass(frozen=True)
class Location:
    """A code location of the workspace.

    Attributes:
        name: Its name, as Dagster derives it.
        kind: The kind of its entry (``grpc_server``, ``python_module``, …) or of its target.
        server: The service that serves its code, for ``grpc_server``.
        folder: The folder of this repository that its code is in; None if it cannot be told.
        place: Where it is written.
    """

    name: str
    kind: str
    server: str | None = None
    folder: Path | None = None
    place: Place | None = None


@dataclass(frozen=True)
class Question:
    """Something that the repository does not decide.

    Attributes:
        what: The question.
        choices: The possible answers.
        flag: The option that answers it.
    """

    what: str
    choices: tuple[str, ...]
    flag: str


@dataclass(frozen=True)
class Refusal:
    """Why the repository cannot be adopted as it is, where, and what would help."""

    reason: str
    place: Place | None = None
    cure: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.reason}. {self.cure}".rstrip()


@dataclass(frozen=True)
class CommandChange:
    """A command line that would read the proposed workspace file.

    Attributes:
        service: The service.
        place: Where its command is written.
        before: The command.
        after: The command with the workspace file instead of what it names.
        workspace_path: The file's path in the service's container.
    """

    service: str
    place: Place
    before: str
    after: str
    workspace_path: str = ""


@dataclass(frozen=True)
class ComposeFiles:
    """The Compose project.

    Attributes:
        files: The files that Compose gets, in order.
        all_files: These, and those that they include and extend.
        folder: The project directory.
        folders: The folder that paths in each file are relative to.
        name: The project's name.
        env_file: Its ``.env``, if it exists.
        needs_flags: Whether Compose must be told the files (``-f``), since it would not find them in the folder.
    """

    files: tuple[Path, ...]
    all_files: tuple[Path, ...]
    folder: Path
    folders: Mapping[Path, Path]
    name: str
    env_file: Path | None = None
    needs_flags: bool = False


@dataclass(frozen=True)
class Survey:
    """What was found in a repository.

    Attributes:
        repository: Its root.
        kind: ``compose``, or ``native`` if Dagster runs without containers.
        compose: Its Compose project; None for native runs.
        services: The services that run something of Dagster, in the project's order.
        workspace_file: The workspace file; None if code is named by command lines, or not found.
        dg_workspace: The ``dg.toml``, or ``pyproject.toml`` with ``[tool.dg]``, of native runs.
        instance_file: The ``dagster.yaml`` that the daemon reads.
        env_files: Every file of variables that Dagster's services get.
        launcher: Where runs go.
        locations: The code locations.
        fit: Where modules can run: ``shared`` if every service that loads code can have them.
        proposed_workspace: A workspace file that says what the command lines say, if there is none.
        proposed_path: Where it would lie.
        proposed_mount: The container's folder that its folder is mounted at; None if every service that loads code sees
            it where it lies.
        command_changes: The command lines that would read it, or the workspace file that other services read.
        questions: What must be answered first.
        refusals: Why it cannot be adopted.
        notes: What a person should know.
    """

    repository: Path
    kind: Kind | None = None
    compose: ComposeFiles | None = None
    services: tuple[DagsterService, ...] = ()
    workspace_file: Path | None = None
    dg_workspace: Path | None = None
    instance_file: Path | None = None
    env_files: tuple[Path, ...] = ()
    launcher: LauncherKind = "default"
    locations: tuple[Location, ...] = ()
    fit: Fit = "own"
    proposed_workspace: bytes | None = None
    proposed_path: Path | None = None
    proposed_mount: str | None = None
    command_changes: tuple[CommandChange, ...] = ()
    questions: tuple[Question, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def file_to_read(self) -> Path | None:
        """The workspace file that the changed commands would read: the proposed one, or the one that others read."""
        return self.proposed_path or (self.workspace_file if self.command_changes else None)

    @property
    def is_adoptable(self) -> bool:
        """Whether nothing stands against it and nothing is left to ask."""
        return not self.refusals and not self.questions

    def with_role(self, *roles: Role) -> tuple[DagsterService, ...]:
        """Return the services with one of these roles."""
        return tuple(service for service in self.services if set(roles) & set(service.roles))

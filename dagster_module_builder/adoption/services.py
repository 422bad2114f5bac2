"""The services of a Compose project that run something of Dagster, and what each of them reads."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dagster_module_builder.adoption.commands import Program, named_files, programs_in, words_of
from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.fitness import fit_of
from dagster_module_builder.adoption.model import BuiltImage, DagsterService, FoundFile, Place, Role, Start, Target
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.adoption.scripts import reached
from dagster_module_builder.adoption.targets import targets_of_project
from dagster_module_builder.compose.image_names import full_name
from dagster_module_builder.compose.project_files import ProjectFiles
from dagster_module_builder.compose.service import Service, env_files
from dagster_module_builder.shared_files.formats import workspace_yaml

_DAGSTER = re.compile(r"dagster|dagit", re.IGNORECASE)
_DATABASE = re.compile(r"postgres|mysql|mariadb|redis|rabbit|minio|(?:^|[-_])db\b|storage", re.IGNORECASE)
_LOADING: tuple[Role, ...] = ("webserver", "daemon", "dev")
_BY_NAME: tuple[tuple[str, Role], ...] = (("daemon", "daemon"), ("webserver", "webserver"), ("dagit", "webserver"))


@dataclass(frozen=True)
class Starting:
    """What starts in a container.

    Attributes:
        programs: The programs of Dagster's.
        by_script: Whether a script has them.
        script: The script, if it is a file here.
        reached: The lines of the script that this container reaches.
    """

    programs: Sequence[Program]
    by_script: bool = False
    script: Path | None = None
    reached: str = ""


def dagster_services(
    repository: Repository, project: ProjectFiles, stated: Mapping[str, tuple[Role, ...]]
) -> dict[DagsterService, Container]:
    """Return the services that run something of Dagster with their containers, in the project's order.

    Args:
        repository: The repository.
        project: The project.
        stated: The roles of services, as a person says.
    """
    configs = project.stack.data.get("configs")
    found: dict[DagsterService, Container] = {}
    served: dict[str, FoundFile] = {}
    for name, service in project.stack.services.items():
        line = project.lines.get(name)
        place = Place(repository.inside(line.path), line.number) if line else Place(repository.inside(project.files[0]))
        container = Container(
            service, repository.root, place, configs if isinstance(configs, dict) else {}, repository.read
        )
        if service.serves_modules:
            served |= _served_by(container)
        starting = starting_of(repository, container)
        roles = stated.get(name) or tuple(dict.fromkeys(program.role for program in starting.programs))
        roles = roles or _named_roles(service)
        if roles:
            found[_described(repository, project, container, starting, roles)] = container
    return {_asking(service, served): container for service, container in found.items()}


def _served_by(container: Container) -> dict[str, FoundFile]:
    """Return the workspace file that a container of ``module_servers`` reads, by the list that it writes."""
    served, read = (container.service.option(name) for name in ("--served", "--workspace"))
    return {served: container.file(container.path(read))} if served and read else {}


def _asking(service: DagsterService, served: Mapping[str, FoundFile]) -> DagsterService:
    """Return a service that loads no code itself with the workspace file of those which serve it."""
    path = service.workspace.container_path if service.workspace else None
    return replace(service, workspace=served[path], asks_servers=True) if path and path in served else service


def starting_of(repository: Repository, container: Container) -> Starting:
    """Return what a container starts of Dagster, by its command or by the scripts that this names."""
    command = container.service.command
    if programs := programs_in(command):
        return Starting(programs)
    words = words_of(container.expanded(command))
    for word in named_files(words):
        file = container.file(container.path(word))
        text = repository.text(repository.root / file.path) if file.path else _written_in_place(container, file)
        arguments = words[words.index(word) + 1 :] if word in words else []
        text = reached(text, arguments, container.expanded)
        if programs := programs_in(text):
            return Starting(programs, by_script=True, script=file.path, reached=text)
    return Starting(())


def _written_in_place(container: Container, file: FoundFile) -> str:
    """Return the instruction of the Dockerfile that writes a script, as lines."""
    image = container.service.image_of
    if file.way != "inline" or file.place is None or file.place.line is None or image is None:
        return ""
    steps = (step for stage in image.stages for step in stage.instructions)
    text = next((step.text for step in steps if step.line == file.place.line - 1), "")
    return text.replace("\\n", "\n")


def unclear_services(project: ProjectFiles, services: Sequence[DagsterService]) -> list[str]:
    """Return the services that seem to run Dagster, but whose images alone know what they start."""
    known = {service.name for service in services}
    return [
        name
        for name, service in project.stack.services.items()
        if name not in known
        and not service.command
        and _DAGSTER.search(f"{name} {service.image_name}")
        and not _DATABASE.search(f"{name} {service.image_name}")
    ]


def _named_roles(service: Service) -> tuple[Role, ...]:
    """Return what a service seems to run, if only its image knows: by its name."""
    if not service.seems_to_load_code or service.command:
        return ()
    return tuple(role for part, role in _BY_NAME if part in service.name)[:1]


def _described(
    repository: Repository, project: ProjectFiles, container: Container, starting: Starting, roles: tuple[Role, ...]
) -> DagsterService:
    service = container.service
    workspace, targets = _read_by(repository, container, starting)
    found = DagsterService(
        name=service.name,
        roles=roles,
        image=image_of(repository, project, service),
        start=_start(starting),
        command=service.command,
        place=container.place,
        working_dir=container.working_dir,
        workspace=workspace,
        targets=targets,
        script=starting.script,
        env_files=tuple(map(repository.inside, env_files(service.data, service.folder, service.env))),
        profiles=tuple(map(str, service.data.get("profiles") or ())),
    )
    return fit_of(found, container)


def _start(starting: Starting) -> Start:
    if not starting.programs:
        return "unknown"
    runner = next((program.start for program in starting.programs if program.start != "direct"), None)
    return runner or ("script" if starting.by_script else "direct")


def image_of(repository: Repository, project: ProjectFiles, service: Service) -> BuiltImage:
    """Return where a service's image comes from."""
    build = service.data.get("build")
    inline = isinstance(build, dict) and bool(build.get("dockerfile_inline"))
    builder = None if build else _builder(project, service)
    return BuiltImage(
        name=service.image_name,
        dockerfile=repository.inside(service.dockerfile) if service.dockerfile and service.image_of else None,
        context=repository.inside(service.context) if service.context else None,
        target=service.target,
        inline=inline,
        builder=builder,
    )


def _builder(project: ProjectFiles, service: Service) -> str | None:
    """Return the service that builds the image which another one only names."""
    if not service.image_name:
        return None
    others = (other for other in project.stack.services.values() if other.data.get("build") and other.image_name)
    wanted = full_name(service.image_name)
    return next((other.name for other in others if full_name(str(other.image_name)) == wanted), None)


def _read_by(
    repository: Repository, container: Container, starting: Starting
) -> tuple[FoundFile | None, tuple[Target, ...]]:
    """Return the workspace file that a service reads, or what it loads without one."""
    loading = [program for program in starting.programs if program.role in _LOADING]
    for program in loading:
        if named := program.values("workspace"):
            return _workspace_file(container, named[0], program.folder), ()
        if targets := tuple(_targets(container, program)):
            return None, targets
    serving = [program for program in starting.programs if program.role == "code server"]
    if starting.programs and not loading:
        return None, tuple(target for program in serving for target in _targets(container, program))
    folder = loading[0].folder if loading else None
    found = _workspace_file(container, workspace_yaml.NAME, folder)
    if found.way == "missing":
        project = container.file(container.path("pyproject.toml", folder))
        started_in = container.path(".", folder)
        dg_folder = posixpath.basename(started_in or "") if any(program.by_dg for program in loading) else None
        if project.path and (targets := targets_of_project(repository, project.path, dg_folder)):
            return None, tuple(replace(target, working_dir=started_in, started_in=started_in) for target in targets)
    return found, ()


def _workspace_file(container: Container, text: str, folder: str | None) -> FoundFile:
    found = container.file(container.path(text, folder))
    if found.container_path is not None:
        return found
    # The image's working directory is unknown: the only mounted file of that name is what it finds there.
    mounted = container.mounted_as(posixpath.basename(text))
    return container.file(mounted[0]) if len(mounted) == 1 else found


def _targets(container: Container, program: Program) -> Iterator[Target]:
    attribute = next(iter(program.values("attribute")), None)
    stated = next(iter(program.values("folder")), None)
    folder = container.path(stated, program.folder) if stated else container.path(".", program.folder)
    for kind in ("module", "file", "package"):
        for value in program.values(kind):
            started_in = container.path(".", program.folder)
            text = container.expanded(value) or value
            yield Target(kind, text, attribute, folder, container.place, started_in=started_in)

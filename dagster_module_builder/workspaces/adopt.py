"""Take in a repository that runs Dagster already: one file says where everything is, and nothing else changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from dagster_module_builder.adoption.model import ComposeFiles, DagsterService, Refusal, Role, Survey
from dagster_module_builder.adoption.module_folders import module_folders
from dagster_module_builder.adoption.report import shown_command
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.adoption.rewriting import Rewriting, rewritten
from dagster_module_builder.adoption.survey import survey
from dagster_module_builder.base.errors import ConflictError, RefusedError, UsageError
from dagster_module_builder.base.layout import DEFAULTS, FILE, layout_of
from dagster_module_builder.base.settings import REGISTRY
from dagster_module_builder.programs import version_control
from dagster_module_builder.shared_files.formats import dagster_yaml, env_file
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.lock import locked
from dagster_module_builder.transactions.plan import FileChange, Plan
from dagster_module_builder.transactions.registry import parse_registry
from dagster_module_builder.transactions.synced_files import write_synced
from dagster_module_builder.transactions.transaction import commit, commit_one
from dagster_module_builder.workspaces.adopted_commands import remove_empty, with_record
from dagster_module_builder.workspaces.layout_file import text_of
from dagster_module_builder.workspaces.workspace import Workspace, read_workspace

STATE = ".dagster-module-builder"


@dataclass(frozen=True)
class Adoption:
    """What was found in a repository, and the file that says it.

    Attributes:
        survey: What was found.
        plan: The files that are made or changed.
        offered: What makes the services read a workspace file, where command lines name their code and it was not
            asked for yet.
        by_hand: Why that cannot be done here.
    """

    survey: Survey
    plan: Plan
    offered: Plan | None = None
    by_hand: tuple[Refusal, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether the repository was no workspace before, or is described in another way now."""
        return bool(self.plan.effective)


def look_through(
    root: Path,
    compose_files: Sequence[Path] = (),
    workspace_file: Path | None = None,
    projects: Sequence[str] = (),
    *,
    roles: Mapping[str, tuple[Role, ...]] | None = None,
    write_workspace_file: bool = False,
) -> Adoption:
    """Look through a repository, and plan the file that describes it.

    Args:
        root: The repository's root.
        compose_files: The files of its Compose project, in order; empty to look for them.
        workspace_file: The workspace file that modules are added to, if several are read.
        projects: The folders of modules, relative to the root; new ones go into the first. Empty to look for them.
        roles: What services start, where the project does not say it.
        write_workspace_file: Also make the workspace file that says what the services' command lines say.

    Raises:
        DamagedFileError: The file that describes it cannot be read.
        RefusedError: ``root`` is not a folder.
    """
    if not root.is_dir():
        raise RefusedError(f"{root} is not a folder.")
    seen = survey(root, compose_files, workspace_file, roles)
    if seen.questions or seen.refusals or seen.kind is None:
        return Adoption(seen, Plan(()))
    is_proposed = seen.compose is None and seen.proposed_workspace is not None
    if not (seen.command_changes or is_proposed) or (seen.workspace_file and not write_workspace_file):
        return Adoption(seen, Plan((_description(root, seen, projects),)))
    rewriting = _proposed(seen) if is_proposed else rewritten(seen, compose_files, roles or {})
    if rewriting.refusals:
        return Adoption(seen, Plan(()), by_hand=rewriting.refusals)
    after = seen if is_proposed else survey(root, compose_files, workspace_file, roles, rewriting.contents)
    description = _description(root, after, projects)
    edits = Plan((*_edits(root, seen, rewriting), _with_record(root, seen, rewriting)))
    if write_workspace_file:
        return Adoption(seen, Plan((description, *edits.changes)))
    return Adoption(seen, Plan((description,)), edits)


def _proposed(seen: Survey) -> Rewriting:
    """Return what makes Dagster read a workspace file where it starts without containers: only the file itself."""
    path, text = seen.proposed_path, seen.proposed_workspace
    return Rewriting({path: text} if path is not None and text is not None else {})


def _description(root: Path, seen: Survey, projects: Sequence[str]) -> FileChange:
    text, path = text_of(_values(seen, projects)), root / FILE
    # It names paths and services; nothing in it is a secret.
    public = frozenset(map(str.strip, text.decode().splitlines()))
    return FileChange(path, module_files.read(root, path), text, public=public)


def _edits(root: Path, seen: Survey, rewriting: Rewriting) -> Iterator[FileChange]:
    for path, content in rewriting.contents.items():
        before = module_files.read(root, root / path)
        lines = [(before or b"").decode("utf-8", "replace"), content.decode("utf-8", "replace")]
        # What is made here names code and paths; of the owner's lines, those that change, without secrets.
        made = path == seen.proposed_path
        public = set(lines[1].splitlines()) if made else set(lines[0].splitlines()) ^ set(lines[1].splitlines())
        shown = frozenset(line.strip() for line in public if shown_command(line) == line)
        yield FileChange(root / path, before, content, public=shown)


def _with_record(root: Path, seen: Survey, rewriting: Rewriting) -> FileChange:
    path = root / STATE / REGISTRY.name
    before = module_files.read(root, path)
    proposed = seen.proposed_path
    made = proposed if proposed and module_files.read(root, root / proposed) is None else None
    contents = {changed: module_files.read(root, root / changed) for changed in rewriting.contents}
    registry = with_record(parse_registry(path, before), path, rewriting, contents, made)
    return FileChange(path, before, registry.to_bytes())


def adopt(adoption: Adoption) -> None:
    """Carry an adoption out.

    Raises:
        ConflictError: It is refused, with each reason.
        RefusedError: Something is left to answer, or a file cannot be written. Nothing was changed.
    """
    root = adoption.survey.repository
    refuse_open(adoption)
    description, *edits = adoption.plan.changes
    # The file that names the folder of the backups comes first: alone, it disturbs nothing.
    try:
        commit_one(description)
        with locked(root):
            _commit_together(root, Plan(tuple(edits)))
    except BaseException:
        _take_back(description)
        _remove_state(root)
        raise


def _commit_together(root: Path, edits: Plan) -> None:
    commit(root, edits)
    try:
        _refuse_unclear(read_workspace(root))
    except BaseException:
        commit(root, Plan(tuple(replace(change, before=change.after, after=change.before) for change in edits.changes)))
        for change in edits.changes:
            remove_empty(change.path)
        raise


def _refuse_unclear(workspace: Workspace) -> None:
    """Refuse a workspace whose services, or whose lines in the file that takes modules, cannot be told.

    Raises:
        RefusedError: With the reason.
    """
    if workspace.layout.has_compose:
        workspace.as_target  # noqa: B018 - fails where the services cannot be told
    else:
        workspace.without_containers  # noqa: B018 - fails where its files cannot be read


def reason_against(adoption: Adoption) -> RefusedError | None:
    """Return the error with which an adoption is refused, or None."""
    try:
        refuse_open(adoption)
    except RefusedError as error:
        return error
    return None


def refuse_open(adoption: Adoption) -> None:
    """Refuse a repository that cannot be adopted, or not without an answer.

    Raises:
        ConflictError: With each reason and its place.
        RefusedError: With each question and the flag that answers it.
    """
    seen = adoption.survey
    if seen.refusals:
        raise ConflictError([str(refusal) for refusal in seen.refusals])
    if seen.questions:
        asked = "\n".join(f"- {each.what} Pass {each.flag}: {', '.join(each.choices)}" for each in seen.questions)
        raise RefusedError(f"Not adopted, because this is ambiguous:\n{asked}")
    if adoption.by_hand:
        raise ConflictError([*map(str, adoption.by_hand), _text_to_paste(seen)])
    if adoption.offered:
        where, what = "on command lines", "the file and change the commands"
        if seen.compose is None:
            where, what = "in pyproject.toml", f"it, and start Dagster with 'dagster dev -w {seen.proposed_path}'"
        raise RefusedError(
            f"No workspace file is read: code is named {where}. This says the same:\n{adoption.offered.diff()}\n"
            f"Pass --write-workspace-file to make {what}."
        )


def _text_to_paste(seen: Survey) -> str:
    """Return the workspace file and the commands that a person is to write."""
    file = (seen.proposed_workspace or b"").decode()
    heading = f"To do it by hand, make {seen.proposed_path}:"
    return "\n".join([heading, file, "and start the services with it:", *commands_with_file(seen)])


def commands_with_file(seen: Survey) -> list[str]:
    """Return, for each service whose command line names code, where it is and what reads a workspace file instead."""
    return [
        f"{change.place}: {shown_command(change.before)}\n  -> {shown_command(change.after)}"
        for change in seen.command_changes
    ]


def exposed_variables(root: Path) -> str:
    """Return a warning if version control would take the file that modules' passwords go into; empty if it does not."""
    path, repository = layout_of(root).env_file, version_control.find(root)
    if repository is None or repository.git("check-ignore", "--", str(path), fine=(0, 1)):
        return ""
    return f"Warning: git does not ignore {path}, which gets the passwords of modules. Add it to .gitignore."


def parse_roles(entries: Sequence[str]) -> dict[str, tuple[Role, ...]]:
    """Read ``--role`` entries: ``["page=webserver", "page=daemon"] -> {"page": ("webserver", "daemon")}``.

    Raises:
        UsageError: An entry is not ``NAME=ROLE``.
    """
    roles: dict[str, tuple[Role, ...]] = {}
    for entry in entries:
        name, equals, role = entry.partition("=")
        known = next((each for each in get_args(Role) if each == role), None)
        if not equals or known is None:
            raise UsageError(f"--role {entry!r} is not NAME=ROLE. Roles are {', '.join(get_args(Role))}.")
        roles[name] = (*roles.get(name, ()), known)
    return roles


def _remove_state(root: Path) -> None:
    if not ControlFiles(root).root.joinpath(STATE, ".registry").exists():
        shutil.rmtree(root / STATE, ignore_errors=True)


def _take_back(change: FileChange) -> None:
    if module_files.read(change.path.parent, change.path) != change.after:
        return  # It was not written, or another program wrote it since.
    if change.before is None:
        change.path.unlink(missing_ok=True)
    else:
        write_synced(change.path, change.before, change.mode)


def _values(seen: Survey, projects: Sequence[str]) -> dict[str, str]:
    compose = seen.compose
    if compose is None:
        return _native_values(seen, projects)
    workspace_file = seen.workspace_file or seen.proposed_path
    beside = (workspace_file or compose.folder / "workspace.yaml").parent
    loading = [service for service in seen.services if service.loads_code or "worker" in service.roles]
    taking = _takes_modules(compose, loading)
    own_folder = compose.folders[taking]
    return {
        **{key: value for key, value in DEFAULTS.items() if key != "dg-file"},
        "compose-file": taking.as_posix(),
        "compose-folder": "" if own_folder == compose.folder else own_folder.as_posix(),
        "compose-files": "\n".join(path.as_posix() for path in compose.files) if _must_name(compose) else "",
        "workspace-file": (workspace_file or beside / "workspace.yaml").as_posix(),
        "env-file": (compose.env_file or compose.folder / env_file.NAME).as_posix(),
        "dockerfiles": "\n".join(_dockerfiles(loading)),
        "instance-file": (seen.instance_file or beside / dagster_yaml.NAME).as_posix(),
        **_own_folders(seen, projects),
        "code-services": "\n".join(service.name for service in loading if not service.asks_servers),
    }


def _native_values(seen: Survey, projects: Sequence[str]) -> dict[str, str]:
    """Return the values for a repository whose Dagster runs without containers."""
    by_dg = seen.dg_workspace if seen.proposed_workspace is None else None
    workspace_file = None if by_dg else seen.workspace_file or seen.proposed_path
    listed = by_dg or workspace_file or Path()
    return {
        "compose-file": "",
        "workspace-file": workspace_file.as_posix() if workspace_file else "",
        **({"dg-file": by_dg.as_posix()} if by_dg else {}),
        "env-file": (listed.parent / env_file.NAME).as_posix(),
        **_own_folders(seen, projects),
    }


def _own_folders(seen: Survey, projects: Sequence[str]) -> dict[str, str]:
    asked = [Path(os.path.normpath(name.strip())) for each in projects for name in each.split(",") if name.strip()]
    folders = asked or module_folders(Repository(seen.repository), seen.locations)
    return {
        "projects": ", ".join(dict.fromkeys(folder.as_posix() for folder in folders)),
        "data": f"{STATE}/data",
        "state": STATE,
    }


def _must_name(compose: ComposeFiles) -> bool:
    """Return whether Compose does not find its files by itself in the folder of the first one."""
    elsewhere = compose.env_file is not None and compose.env_file.parent != compose.folder
    return compose.needs_flags or elsewhere


def _takes_modules(compose: ComposeFiles, loading: Sequence[DagsterService]) -> Path:
    """Return the Compose file that defines the services that load code: what is included takes no changes elsewhere."""
    defining = [service.place.path for service in loading]
    return next((path for path in compose.folders if path in defining), compose.files[0])


def _dockerfiles(loading: Sequence[DagsterService]) -> list[str]:
    """Return the Dockerfiles of the images that can install modules."""
    paths = [service.image.dockerfile for service in loading if service.fit == "shared" and service.image.dockerfile]
    return list(dict.fromkeys(path.as_posix() for path in paths))

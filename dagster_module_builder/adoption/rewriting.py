"""The edits with which services read the proposed workspace file, instead of what their command lines name.

A command is changed as it is written. Then the project is read again, with the changed texts: an edit holds only if
every service that loads code reads the file, with the options that it had, and nothing else is different.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dagster_module_builder.adoption.command_text import (
    Command,
    Edit,
    UneditableError,
    applied,
    edits_of,
    loading_commands,
    place_of,
)
from dagster_module_builder.adoption.commands import CODE_OPTIONS, option_of, words_of
from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.model import CommandChange, DagsterService, Place, Refusal, Role, Survey
from dagster_module_builder.adoption.mounts import mounted
from dagster_module_builder.adoption.projects import Candidate, chosen_project
from dagster_module_builder.adoption.report import shown_command
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.adoption.services import starting_of
from dagster_module_builder.adoption.written_commands import Files, words_of_service

_PLAIN_PATH = re.compile(r"[\w./-]+")


@dataclass(frozen=True)
class TextChange:
    """A text of the owner's that another one takes the place of.

    Attributes:
        path: The file, relative to the repository.
        line: Its line, counted from 1.
        service: The service that it is for.
        start: Where it begins in the changed file, in characters.
        before: The text before; empty if it is only added.
        after: The text afterwards.
    """

    path: Path
    line: int
    service: str
    start: int
    before: str
    after: str


@dataclass(frozen=True)
class Rewriting:
    """How the services come to read the workspace file.

    Attributes:
        contents: The new content of each file that changes, and of the workspace file.
        changes: What changes in the owner's files.
        refusals: Why some command cannot be changed; then there is nothing else.
    """

    contents: Mapping[Path, bytes]
    changes: tuple[TextChange, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def rewritten(seen: Survey, compose_files: Sequence[Path], roles: Mapping[str, tuple[Role, ...]]) -> Rewriting:
    """Return the edits with which the services of a survey read its proposed workspace file.

    Args:
        seen: The survey.
        compose_files: The files of the Compose project, as for the survey.
        roles: What services start, as for the survey.
    """
    repository = Repository(seen.repository)
    candidate = chosen_project(repository, compose_files, roles).candidate
    path = seen.file_to_read
    if candidate is None or path is None:
        return Rewriting({})
    loading = {service.name: service for service in candidate.services if service.loads_code}
    files = Files(repository, {})
    refusals = (
        [*_several_meanings(list(loading.values())), *_in_the_way(repository, seen)] if seen.proposed_path else []
    )
    edits: dict[str, list[Edit]] = {}
    for change in seen.command_changes if not refusals else ():
        try:
            edits[change.service] = list(_edits(files, candidate, seen, change))
        except UneditableError as error:
            refusals.append(_refusal(change, error, loading[change.service]))
    if refusals:
        return Rewriting({}, refusals=tuple(refusals))
    contents = {path: _content(files, path, edits) for path in _paths(edits)}
    if seen.proposed_path and seen.proposed_workspace:
        contents[seen.proposed_path] = seen.proposed_workspace
    whole = Rewriting(contents, tuple(_changes(edits)))
    if hidden := [_hidden(change) for change in whole.changes if _hides_something(change)]:
        return Rewriting({}, refusals=tuple(hidden))
    again = Repository(seen.repository, {seen.repository / path: text for path, text in contents.items()})
    wrong = list(_differences(seen, candidate, chosen_project(again, compose_files, roles).candidate))
    return Rewriting({}, refusals=tuple(wrong)) if wrong else whole


def _several_meanings(loading: Sequence[DagsterService]) -> Iterator[Refusal]:
    cure = "Make them load the same first, or write a workspace file for each."
    # What names nothing and finds nothing, as a daemon without options, is started with the file like the others.
    naming = [service for service in loading if service.targets or service.image.is_prebuilt]
    meant = {frozenset(replace(target, place=None) for target in service.targets): service for service in naming}
    if len(meant) > 1:
        said = " and ".join(
            f"{one.name} loads {', '.join(target.value for target in one.targets) or 'what is in its folder'}"
            for one in meant.values()
        )
        yield Refusal(f"{said}, so one workspace file cannot say the same", next(iter(meant.values())).place, cure)
    for service in loading:
        if service.targets and any(target.working_dir is None for target in service.targets):
            yield Refusal(
                f"Only its image says in which folder {service.name} starts", service.place, "Set working_dir there."
            )


def _in_the_way(repository: Repository, seen: Survey) -> Iterator[Refusal]:
    if seen.proposed_path and repository.read(seen.repository / seen.proposed_path) not in {
        None,
        seen.proposed_workspace,
    }:
        yield Refusal("This file says something else", Place(seen.proposed_path), "Move it, or delete it.")


def _edits(files: Files, candidate: Candidate, seen: Survey, change: CommandChange) -> Iterator[Edit]:
    if not _PLAIN_PATH.fullmatch(change.workspace_path):
        raise UneditableError(f"the path {change.workspace_path} would have to be quoted")
    service = next(one for one in candidate.services if one.name == change.service)
    container = candidate.containers[service]
    words = words_of_service(files, candidate.project, container, service)
    commands = [one for one in loading_commands(words) if not service.script or _is_reached(one, files, container)]
    if not commands:
        raise UneditableError("what it starts was not found where its command is written")
    if len({command.meaning for command in commands if command.options}) > 1:
        raise UneditableError("its programs load different code", place_of(commands[0].words[0]))
    for command in commands:
        yield from edits_of(command, change.workspace_path)
    if seen.proposed_mount and seen.proposed_path:
        defining = seen.repository / service.place.path
        folder = candidate.project.folders.get(defining, candidate.project.folder)
        source = os.path.relpath(seen.repository / seen.proposed_path.parent, folder)
        yield mounted(files.source(service.place.path), service.name, f"./{source}:{seen.proposed_mount}")


def _is_reached(command: Command, files: Files, container: Container) -> bool:
    """Return whether a container reaches a program of its script: other branches are for others."""
    word = command.words[command.program]
    line = word.source.text.split("\n")[word.source.line(word.start) - 1]
    reached = starting_of(files.repository, container).reached.splitlines()
    return any(word.text in part and part in line for part in reached)


def _refusal(change: CommandChange, error: UneditableError, service: DagsterService) -> Refusal:
    cure = f"Change it by hand: {change.after}"
    return Refusal(
        f"The command of {change.service} cannot be changed safely: {error.why}", error.place or service.place, cure
    )


def _paths(edits: Mapping[str, Sequence[Edit]]) -> list[Path]:
    return list(dict.fromkeys(edit.source.path for each in edits.values() for edit in each))


def _content(files: Files, path: Path, edits: Mapping[str, Sequence[Edit]]) -> bytes:
    own = [edit for each in edits.values() for edit in each if edit.source.path == path]
    mark = b"\xef\xbb\xbf" if files.is_marked(path) else b""
    return mark + applied(files.source(path).text, own).encode()


def _changes(edits: Mapping[str, Sequence[Edit]]) -> Iterator[TextChange]:
    """Yield what changes, in the order of the files; edits side by side are one, to be found again."""
    services = {edit: name for name, each in reversed([*edits.items()]) for edit in each}
    for source in dict.fromkeys(edit.source for edit in services):
        own = sorted((edit for edit in services if edit.source is source), key=lambda edit: edit.start)
        moved = 0
        for group in _groups(own, services):
            start, end = group[0].start, group[-1].end
            before = source.text[start:end]
            after = applied(source.text[:end], group)[start:]
            yield TextChange(source.path, source.line(start), services[group[0]], start + moved, before, after)
            moved += len(after) - len(before)


def _groups(edits: Sequence[Edit], services: Mapping[Edit, str]) -> Iterator[list[Edit]]:
    """Yield edits of one command together: what is only taken out could not be found again."""
    group: list[Edit] = []
    for edit in edits:
        if group and (services[edit] != services[group[0]] or (edit.text and _is_whole(edit))):
            yield group
            group = []
        group.append(edit)
    if group:
        yield group


def _is_whole(edit: Edit) -> bool:
    return "-w" in edit.text or edit.start == edit.end


def _differences(seen: Survey, before: Candidate, after: Candidate | None) -> Iterator[Refusal]:
    """Yield what would be different beside the commands, or not as it should be."""
    if after is None:
        yield Refusal("With the changed commands, the project would not be understood", None, "Change them by hand.")
        return
    now = {service.name: service for service in after.services}
    changed = {change.service: change for change in seen.command_changes}
    for service in before.services:
        other = now.get(service.name)
        wanted = changed.get(service.name)
        if other is None or not _is_as_wanted(service, other, wanted, seen.file_to_read):
            reason = f"The command of {service.name} cannot be changed safely: it would not be read as it should be"
            yield Refusal(reason, service.place, f"Change it by hand: {wanted.after}" if wanted else "")
    for name, data in _settings(before).items():
        if data != _settings(after, seen.proposed_mount if name in changed else None).get(name):
            line = before.project.lines.get(name)
            place = Place(Path(os.path.relpath(line.path, seen.repository)), line.number) if line else None
            yield Refusal(f"The settings of {name} would be changed too", place, "Change the commands by hand.")


def _is_as_wanted(
    before: DagsterService, after: DagsterService, change: CommandChange | None, path: Path | None
) -> bool:
    if change is None:
        return _reading(before) == _reading(after)
    reads = after.workspace is not None and after.workspace.path == path and not after.targets
    same = before.script is not None or _kept(before.command) == _kept(after.command)
    return reads and same and before.roles == after.roles and before.start == after.start


def _reading(service: DagsterService) -> tuple[object, ...]:
    """Return what a service starts and reads, without the lines that say it."""
    targets = tuple(replace(target, place=None) for target in service.targets)
    workspace = replace(service.workspace, place=None) if service.workspace else None
    return service.command, service.roles, service.start, targets, workspace


def _kept(command: str) -> list[str]:
    """Return the words of a command but those that say what is loaded."""
    kept: list[str] = []
    skipping = False
    for word in words_of(re.sub(r"([;&|]+)", r" \1 ", re.sub(r"\\\n|[\"']", " ", command))):
        if skipping:
            skipping = False
        elif (
            option_of(word) in {*CODE_OPTIONS, "workspace"}
            and kept
            and re.search(r"dagster|dagit|^dg$|^dev$", " ".join(kept))
        ):
            skipping = "=" not in word
        else:
            kept.append("dagster" if word == "dg" else word)
    return kept


def _settings(candidate: Candidate, mount: str | None = None) -> dict[str, Any]:
    """Return the services' definitions without commands, and without a mount that was added."""
    found = {}
    for name, service in candidate.project.stack.services.items():
        data = {key: value for key, value in service.data.items() if key not in {"command", "entrypoint"}}
        data["volumes"] = [
            entry for entry in data.get("volumes") or () if not (mount and str(entry).endswith(f":{mount}"))
        ]
        found[name] = data
    return found


def _hides_something(change: TextChange) -> bool:
    """Return whether a change has a value that is secret, which the registry must not have."""
    line = " ".join(re.sub(r"^\s*-\s", " ", line) for line in change.before.splitlines())
    return shown_command(line) != line


def _hidden(change: TextChange) -> Refusal:
    reason = f"The command of {change.service} has a secret between the words that change"
    return Refusal(reason, Place(change.path, change.line), "Pass it as a variable, or change the command by hand.")

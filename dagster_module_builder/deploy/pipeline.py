"""The file in which a platform finds the pipeline of a deployment: written, compared, and taken out again.

What is ours stands between its markers, or fills the file, and begins with the SHA-256 of what follows. So it travels
with the repository, whoever writes it next knows whether somebody edited it, and nothing is remembered elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.deploy import pipeline_place
from dagster_module_builder.deploy.connection.typed_names import typed
from dagster_module_builder.deploy.model.deployment import FILE, Deployment
from dagster_module_builder.deploy.pipeline_companions import companions, read_by_jobs
from dagster_module_builder.deploy.pipeline_place import PipelinePlace
from dagster_module_builder.deploy.pipeline_seal import is_sealed, seal, with_newest_pins
from dagster_module_builder.deploy.pipelines.pipeline_run import is_in_pipeline
from dagster_module_builder.deploy.strategies.base import PipelineFile, load_pipeline
from dagster_module_builder.programs.version_control import find as find_repository
from dagster_module_builder.programs.version_control import top
from dagster_module_builder.shared_files.blocks import Block, Layout, bare, split_lines
from dagster_module_builder.shared_files.formats.outline import KeyPath, OutlineError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Scaffold, SharedFile
from dagster_module_builder.shared_files.merge import merge, open_layout, unsafe
from dagster_module_builder.shared_files.registered_file import END_OF_FILE, NO_FILE, RegisteredFile
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import FileChange

#: Says that the line feed above is ours too.
_ADDED_END = b"# The line above had no end."
_ROOT: KeyPath = ()


def find(deployment: Deployment) -> PipelinePlace:
    """Find where a deployment's pipeline is or belongs.

    Raises:
        RefusedError: People start it, and no pipeline; or every place is taken by somebody else.
    """
    if deployment.pipeline is None:
        raise RefusedError(f"{deployment.folder / FILE}: the strategy {deployment.strategy!r} has no pipeline.")
    module = deployment.module.resolve()
    repository = top(module) or module
    inside = str(module.relative_to(repository.resolve()))
    file = load_pipeline(str(deployment.data["strategy"])).file(deployment, inside)
    places = [repository / place for place in file.places]
    mine = [path for path in places if _is_mine(repository, path, file, deployment)]
    free = [path for path in places if not path.exists() or (file.shares and path == places[0])]
    if not (mine or free):
        taken = ", ".join(file.places)
        raise RefusedError(
            f"{repository}: {taken} belong to somebody else: move one of them, or rename the deployment."
        )
    return PipelinePlace(deployment.names.name, deployment.name, repository, file, [*mine, *free][0])


def _is_mine(repository: Path, path: Path, file: PipelineFile, deployment: Deployment) -> bool:
    module, name = deployment.names.name, deployment.name
    marked, titled = f"# BEGIN: {pipeline_place.marker(module, name)}", f"// {pipeline_place.title(module, name)}"
    head = marked if file.kind else titled
    return head.encode() in bare(split_lines(module_files.read(repository, path) or b""))


def planned(deployment: Deployment, *, force: bool = False, remove: bool = False) -> FileChange:
    """Plan the file with a deployment's pipeline, or without it; nothing is written.

    Args:
        deployment: Whose pipeline it is.
        force: Replace what somebody edited.
        remove: Take it out.

    Raises:
        RefusedError: There is no place for it, or somebody edited it, or the file cannot be edited safely.
    """
    return planned_at(find(deployment), force=force, remove=remove)


def planned_at(found: PipelinePlace, *, force: bool = False, remove: bool = False) -> FileChange:
    """Plan one file with a pipeline; arguments and errors are those of ``planned``."""
    module_files.refuse_links(found.top, found.path)
    before = module_files.read(found.top, found.path)
    after = (_merged if found.file.kind else _whole)(found, before, force=force, remove=remove)
    return FileChange(found.path, before, after, below=found.top, public=found.file.public)


def _whole(found: PipelinePlace, before: bytes | None, *, force: bool, remove: bool) -> bytes | None:
    """Return a file that is ours from its first line to its last."""
    lines = bare(split_lines(before or b""))
    if lines and not (force or is_sealed(lines[1:])):
        raise RefusedError(f"{found.path} was edited by hand: {_WAY_OUT}")
    if remove:
        return None
    body = tuple(line.encode() for line in found.file.text(()).splitlines())
    wanted = (f"// {found.title}".encode(), b"// " + seal(body), *body)
    return before if wanted == lines else b"".join(line + b"\n" for line in wanted)


_WAY_OUT = "nothing was changed. Move your lines elsewhere, or give --force to replace them."


def _merged(found: PipelinePlace, before: bytes | None, *, force: bool, remove: bool) -> bytes | None:
    """Return a file in which our lines stand between their markers, and those of others as they were."""
    kind = found.file.kind
    assert kind is not None  # noqa: S101 - for the type checker: the other kind is whole
    layout = open_layout(found.path, kind, before or b"", RegisteredFile())
    blocks = {block.marker: block for _, block in layout.blocks()}
    changes: dict[str, Sequence[Contribution]] = {found.marker: []}
    ends = _added_end(layout, blocks)
    if not remove:
        try:
            text = found.file.text(layout.own)
        except OutlineError as error:
            raise unsafe(found.path, layout.line_number(error.position), error.reason) from None
        block = blocks.get(found.marker)
        lines = with_newest_pins([line.encode() for line in text.splitlines()], block.body if block else ())
        changes[found.marker] = [_contribution(_body(found.title, lines, added_end=ends is not None))]
    elif ends is not None and (heir := _heir(found.marker, blocks)) is not None:
        # The line feed above stays for the others, one of whom has to know that it was not there at first.
        changes[heir.marker] = [_contribution(_with_added_end(heir))]
    scaffolds: dict[KeyPath, Scaffold] = {} if ends is None else {END_OF_FILE: ends}
    if blocks and not layout.own:
        scaffolds[NO_FILE] = Scaffold((), ())
    known = RegisteredFile({name: {_ROOT: _known_digest(block)} for name, block in blocks.items()}, scaffolds)
    after = merge(found.path, kind, layout, changes, known, force=force, absent=before is None).text
    if after is not None and not remove:
        _refuse_damage(found, kind, after)
    return after


def _contribution(body: Sequence[bytes]) -> Contribution:
    return Contribution(_ROOT, mapping=tuple(body))


def _body(title: str, lines: Sequence[bytes], *, added_end: bool) -> list[bytes]:
    head = [f"# {title}".encode(), *([_ADDED_END] if added_end else [])]
    return [*head, b"# " + seal(lines), *lines]


def _known_digest(block: Block) -> str:
    """Return a block's digest where nobody has edited it."""
    body = [line for line in block.body[1:] if line != _ADDED_END]
    return block.digest if is_sealed(body) else ""


def _with_added_end(block: Block) -> tuple[bytes, ...]:
    return (block.body[0], _ADDED_END, *block.body[1:])


def _heir(marker: str, blocks: Mapping[str, Block]) -> Block | None:
    """Return another block, unedited, that has to learn of the line feed; None where one of them knows already."""
    others = [block for name, block in blocks.items() if name != marker]
    knows = any(_ADDED_END in block.body[:2] for block in others)
    return None if knows else next((block for block in others if _known_digest(block)), None)


def _added_end(layout: Layout, blocks: Mapping[str, Block]) -> Scaffold | None:
    """Return what was done to the last own line: the line feed that it was given, now or earlier."""
    if not layout.own:
        return None
    last = layout.own[-1]
    if any(_ADDED_END in block.body[:2] for block in blocks.values()):
        return Scaffold((last.rstrip(b"\r\n"),), (last,))
    return None if last.endswith(b"\n") else Scaffold((last,), (last + b"\n",))


def _refuse_damage(found: PipelinePlace, kind: SharedFile, text: bytes) -> None:
    """Refuse a result in which a key stands twice, as when somebody has a job of that name already."""
    try:
        repeated = next(iter(outline_of(split_lines(text)).repeated), None)
    except OutlineError as error:
        raise RefusedError(f"{found.path}: with our lines it is no {kind.name} any more: {error.reason}.") from None
    if repeated is not None:
        raise RefusedError(
            f"{found.path}:{repeated[0] + 1}: {'.'.join(repeated[1])!r} is there already: rename that one."
        )


def problem(deployment: Deployment) -> str | None:
    """Say what is wrong with the pipeline of a deployment; None when nothing is."""
    command = f"run 'deploy.pipeline {typed(deployment.folder)}'"
    try:
        found = find(deployment)
        change, beside = planned_at(found), [each for each in companions(found) if each.changes]
    except RefusedError as error:
        return str(error)
    if change.before is None:
        return f"{change.path} is missing: {command}."
    if beside and not change.changes:
        return f"{beside[0].path} is not as {found.shown} needs it: {command}."
    if change.changes:
        return f"{change.path} is older than {deployment.folder / FILE}: {command}."
    return load_pipeline(str(deployment.data["strategy"])).problem_with(deployment.pipeline or {})


def uncommitted(deployment: Deployment) -> list[str]:
    """Return what the pipeline needs and would not find, because no commit has it."""
    found = find(deployment)
    needed = [found.path, deployment.folder / FILE, deployment.known_hosts, *read_by_jobs(found)]
    repository = find_repository(found.top)
    if repository is None:
        return [f"{found.top} is in no git repository: the platform has to get it from one."]
    tracked = set(repository.listed("ls-files", "-z", "--full-name", "--", *(str(path.resolve()) for path in needed)))
    names = [str(path.resolve().relative_to(found.top.resolve())) for path in needed]
    missing = [f"{name} is not committed: the pipeline would not find it." for name in names if name not in tracked]
    empty = not (module_files.read(deployment.module, deployment.known_hosts) or b"").strip()
    trust = f"No key is pinned: run 'deploy.trust {typed(deployment.folder)}', and commit {deployment.known_hosts}."
    return [*missing, *([trust] if empty else []), *load_pipeline(str(deployment.data["strategy"])).lacking(deployment)]


def summary(deployment: Deployment) -> str:
    """Say in a few words who carries a deployment out, and when."""
    return load_pipeline(str(deployment.data["strategy"])).summary(deployment)


def refuse_by_hand(deployments: Sequence[Deployment], *, local: bool, environ: Mapping[str, str]) -> None:
    """Refuse to deploy from a person's machine what a pipeline tests and somebody approves.

    Args:
        deployments: What is to be deployed.
        local: The person means it.
        environ: The process's environment, in which a platform says who it is.

    Raises:
        RefusedError: One of them has a pipeline, and this process does not run in one.
    """
    if local or is_in_pipeline(environ):
        return
    for one in deployments:
        if one.pipeline is not None:
            raise RefusedError(
                f"{one.names.name} gets to {one.name!r} through {summary(one)} ({find(one).shown}), which tests it and "
                f"asks for approval. To deploy from this machine without both, pass --local."
            )

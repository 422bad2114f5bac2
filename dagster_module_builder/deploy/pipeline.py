"""The file in which a platform finds the pipeline of a deployment: written, compared, and removed.

Our lines are between their markers, or fill the file, and begin with the SHA-256 of what follows. So the repository
itself tells everyone whether they were edited by hand, and nothing is stored elsewhere.
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
from dagster_module_builder.shared_files.formats.outline import KeyPath, UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution, Scaffold, SharedFile
from dagster_module_builder.shared_files.merge import merge, open_layout, unsafe
from dagster_module_builder.shared_files.registered_file import END_OF_FILE, NO_FILE, RegisteredFile
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import FileChange

#: Marks that we added the newline at the end of the line above.
_ADDED_END = b"# The line above had no end."
_ROOT: KeyPath = ()


def find(deployment: Deployment) -> PipelinePlace:
    """Return the place of a deployment's pipeline, which may not exist yet.

    Raises:
        RefusedError: The deployment has no pipeline, or all possible files are in use by something else.
    """
    if deployment.pipeline is None:
        raise RefusedError(f"{deployment.folder / FILE}: the strategy {deployment.strategy!r} has no pipeline.")
    module = deployment.module.resolve()
    repository = top(module) or module
    inside = str(module.relative_to(repository.resolve()))
    file = load_pipeline(str(deployment.data["strategy"])).file(deployment, inside)
    places = [repository / name for name in file.places]
    mine = [path for path in places if _is_mine(repository, path, file, deployment)]
    unused = [path for path in places if not path.exists() or (file.shares and path == places[0])]
    if not (mine or unused):
        taken = ", ".join(file.places)
        raise RefusedError(
            f"{repository}: {taken} are in use by something else: move one of them, or rename the deployment."
        )
    return PipelinePlace(deployment.names.name, deployment.name, repository, file, [*mine, *unused][0])


def _is_mine(repository: Path, path: Path, file: PipelineFile, deployment: Deployment) -> bool:
    module, name = deployment.names.name, deployment.name
    marked, titled = f"# BEGIN: {pipeline_place.marker(module, name)}", f"// {pipeline_place.title(module, name)}"
    head = marked if file.kind else titled
    return head.encode() in bare(split_lines(module_files.read(repository, path) or b""))


def planned(deployment: Deployment, *, force: bool = False, remove: bool = False) -> FileChange:
    """Plan the file with a deployment's pipeline, or without it; nothing is written.

    Args:
        deployment: The deployment.
        force: Replace lines that were edited by hand.
        remove: Remove the pipeline.

    Raises:
        RefusedError: There is no file for it, it was edited by hand, or the file cannot be edited safely.
    """
    return planned_at(find(deployment), force=force, remove=remove)


def planned_at(place: PipelinePlace, *, force: bool = False, remove: bool = False) -> FileChange:
    """Plan one file with a pipeline; arguments and errors are those of ``planned``."""
    module_files.refuse_links(place.top, place.path)
    before = module_files.read(place.top, place.path)
    after = (_merged if place.file.kind else _whole)(place, before, force=force, remove=remove)
    return FileChange(place.path, before, after, below=place.top, public=place.file.public)


def _whole(place: PipelinePlace, before: bytes | None, *, force: bool, remove: bool) -> bytes | None:
    """Return a file that has only our lines."""
    lines = bare(split_lines(before or b""))
    if lines and not (force or is_sealed(lines[1:])):
        raise RefusedError(f"{place.path} was edited by hand: {_WAY_OUT}")
    if remove:
        return None
    body = tuple(line.encode() for line in place.file.text(()).splitlines())
    wanted = (f"// {place.title}".encode(), b"// " + seal(body), *body)
    return before if wanted == lines else b"".join(line + b"\n" for line in wanted)


_WAY_OUT = "nothing was changed. Move your lines elsewhere, or pass --force to replace them."


def _merged(place: PipelinePlace, before: bytes | None, *, force: bool, remove: bool) -> bytes | None:
    """Return a file with our lines between their markers, and all other lines unchanged."""
    kind = place.file.kind
    assert kind is not None  # noqa: S101 - for the type checker: see ``planned_at``
    layout = open_layout(place.path, kind, before or b"", RegisteredFile())
    blocks = {block.marker: block for _, block in layout.blocks()}
    changes: dict[str, Sequence[Contribution]] = {place.marker: []}
    ends = _added_end(layout, blocks)
    if not remove:
        try:
            text = place.file.text(layout.own)
        except UnsafeEditError as error:
            raise unsafe(place.path, layout.line_number(error.position), error.reason) from None
        block = blocks.get(place.marker)
        lines = with_newest_pins([line.encode() for line in text.splitlines()], block.body if block else ())
        changes[place.marker] = [_contribution(_body(place.title, lines, added_end=ends is not None))]
    elif ends is not None and (heir := _heir(place.marker, blocks)) is not None:
        # The newline above is kept for the other blocks, one of which has to note that it was added.
        changes[heir.marker] = [_contribution(_with_added_end(heir))]
    scaffolds: dict[KeyPath, Scaffold] = {} if ends is None else {END_OF_FILE: ends}
    if blocks and not layout.own:
        scaffolds[NO_FILE] = Scaffold((), ())
    known = RegisteredFile({name: {_ROOT: _known_digest(block)} for name, block in blocks.items()}, scaffolds)
    after = merge(place.path, kind, layout, changes, known, force=force, absent=before is None).text
    if after is not None and not remove:
        _refuse_damage(place, kind, after)
    return after


def _contribution(body: Sequence[bytes]) -> Contribution:
    return Contribution(_ROOT, mapping=tuple(body))


def _body(title: str, lines: Sequence[bytes], *, added_end: bool) -> list[bytes]:
    head = [f"# {title}".encode(), *([_ADDED_END] if added_end else [])]
    return [*head, b"# " + seal(lines), *lines]


def _known_digest(block: Block) -> str:
    """Return a block's digest if it was not edited by hand, else an empty text."""
    body = [line for line in block.body[1:] if line != _ADDED_END]
    return block.digest if is_sealed(body) else ""


def _with_added_end(block: Block) -> tuple[bytes, ...]:
    return (block.body[0], _ADDED_END, *block.body[1:])


def _heir(marker: str, blocks: Mapping[str, Block]) -> Block | None:
    """Return another, unedited block that has to note the added newline; None if one notes it already."""
    others = [block for name, block in blocks.items() if name != marker]
    knows = any(_ADDED_END in block.body[:2] for block in others)
    return None if knows else next((block for block in others if _known_digest(block)), None)


def _added_end(layout: Layout, blocks: Mapping[str, Block]) -> Scaffold | None:
    """Return the newline that was added to the last own line, now or earlier; None if none was."""
    if not layout.own:
        return None
    last = layout.own[-1]
    if any(_ADDED_END in block.body[:2] for block in blocks.values()):
        return Scaffold((last.rstrip(b"\r\n"),), (last,))
    return None if last.endswith(b"\n") else Scaffold((last,), (last + b"\n",))


def _refuse_damage(place: PipelinePlace, kind: SharedFile, text: bytes) -> None:
    """Refuse a result with a key twice, such as a job whose name is used already."""
    try:
        repeated = next(iter(outline_of(split_lines(text)).repeated), None)
    except UnsafeEditError as error:
        raise RefusedError(f"{place.path}: with our lines it is not a valid {kind.name}: {error.reason}.") from None
    if repeated is not None:
        raise RefusedError(
            f"{place.path}:{repeated[0] + 1}: {'.'.join(repeated[1])!r} exists already: rename that one."
        )


def problem(deployment: Deployment) -> str | None:
    """Return what is wrong with the pipeline of a deployment; None if nothing is."""
    command = f"run 'deploy.pipeline {typed(deployment.folder)}'"
    try:
        place = find(deployment)
        change, beside = planned_at(place), [file for file in companions(place) if file.changes]
    except RefusedError as error:
        return str(error)
    if change.before is None:
        return f"{change.path} is missing: {command}."
    if beside and not change.changes:
        return f"{beside[0].path} is out of date with {place.shown}: {command}."
    if change.changes:
        return f"{change.path} is older than {deployment.folder / FILE}: {command}."
    return load_pipeline(str(deployment.data["strategy"])).problem_with(deployment.pipeline or {})


def uncommitted(deployment: Deployment) -> list[str]:
    """Return problems with files that the pipeline needs and that are not committed."""
    place = find(deployment)
    needed = [place.path, deployment.folder / FILE, deployment.known_hosts, *read_by_jobs(place)]
    repository = find_repository(place.top)
    if repository is None:
        return [f"{place.top} is not in a git repository, from which the platform could get it: make one."]
    tracked = set(repository.listed("ls-files", "-z", "--full-name", "--", *(str(path.resolve()) for path in needed)))
    names = [str(path.resolve().relative_to(place.top.resolve())) for path in needed]
    missing = [f"{name} is not committed, so the pipeline would not find it." for name in names if name not in tracked]
    empty = not (module_files.read(deployment.module, deployment.known_hosts) or b"").strip()
    trust = f"No key is pinned: run 'deploy.trust {typed(deployment.folder)}', and commit {deployment.known_hosts}."
    return [*missing, *([trust] if empty else []), *load_pipeline(str(deployment.data["strategy"])).lacking(deployment)]


def summary(deployment: Deployment) -> str:
    """Return in a few words who carries out a deployment, and when: ``GitHub Actions on a push to main``."""
    return load_pipeline(str(deployment.data["strategy"])).summary(deployment)


def refuse_by_hand(deployments: Sequence[Deployment], *, local: bool, environ: Mapping[str, str]) -> None:
    """Refuse to deploy by hand if a pipeline tests the deployment and asks for approval.

    Args:
        deployments: The deployments.
        local: Whether to deploy by hand anyway.
        environ: The process's environment, by which a pipeline is recognized.

    Raises:
        RefusedError: One of them has a pipeline, and this process does not run in one.
    """
    if local or is_in_pipeline(environ):
        return
    for deployment in deployments:
        if deployment.pipeline is not None:
            raise RefusedError(
                f"{deployment.names.name} is deployed to {deployment.name!r} by {summary(deployment)} "
                f"({find(deployment).shown}), which tests it and asks for approval. To deploy from this machine "
                f"without both, pass --local."
            )

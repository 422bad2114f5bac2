"""What belongs to a pipeline beside its file: the guide, which names it, and files that its jobs read."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.deploy.pipeline_place import PipelinePlace
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import FileChange


def companions(found: PipelinePlace, *, remove: bool = False) -> list[FileChange]:
    """Plan the files beside a pipeline, changed or not: the guide, and what its jobs read.

    Args:
        found: The pipeline.
        remove: It is taken out; the guide stays.
    """
    return [
        *([] if remove else [_guide(found)]),
        *(_read_by_jobs(found, path, remove=remove) for path in read_by_jobs(found)),
    ]


def read_by_jobs(found: PipelinePlace) -> list[Path]:
    """Return the files that the jobs read, where they are."""
    return [found.top / name for name in found.file.beside]


def _guide(found: PipelinePlace) -> FileChange:
    """Plan the guide so that it names the file and the environment of the pipeline."""
    module = _module(found)
    module_files.refuse_links(module, found.guide)
    before = module_files.read(module, found.guide)
    after = None if before is None else _with_names(before.decode("utf-8", "surrogateescape"), found)
    written = None if after is None else after.encode("utf-8", "surrogateescape")
    return FileChange(found.guide, before, written, below=module)


def _with_names(guide: str, found: PipelinePlace) -> str:
    """Return a guide in which the pipeline's file and environment have the names that they have now.

    ``"gh workflow run deploy-yoda.yml" -> "gh workflow run deploy-yoda-stock.yml"`` where that is the file.
    """
    for pattern, name in found.file.mentions(found.path.name):
        guide = pattern.sub(lambda match, name=name: f"{match[1]}{name}", guide)  # type: ignore[misc]
    return guide


def _read_by_jobs(found: PipelinePlace, path: Path, *, remove: bool) -> FileChange:
    """Plan a file that is kept while its first line, which says what it is for, stays the same."""
    module = _module(found)
    module_files.refuse_links(module, path)
    before = module_files.read(module, path)
    wanted = found.file.beside[str(path.relative_to(found.top))]
    is_for_it = before is not None and before.partition(b"\n")[0] == wanted.partition(b"\n")[0]
    after = None if remove else before if is_for_it else wanted
    return FileChange(path, before, after, below=module, public=frozenset(wanted.decode().splitlines()))


def _module(found: PipelinePlace) -> Path:
    return found.guide.parent.parent.parent

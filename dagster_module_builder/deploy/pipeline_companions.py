"""The files beside a pipeline: the guide, which names it, and files that its jobs read."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.deploy.pipeline_place import PipelinePlace
from dagster_module_builder.transactions import module_files
from dagster_module_builder.transactions.plan import FileChange


def companions(place: PipelinePlace, *, remove: bool = False) -> list[FileChange]:
    """Plan the files beside a pipeline, changed or not: the guide, and the files that its jobs read.

    Args:
        place: The pipeline.
        remove: Whether the pipeline is removed; the guide is kept.
    """
    return [
        *([] if remove else [_guide(place)]),
        *(_read_by_jobs(place, path, remove=remove) for path in read_by_jobs(place)),
    ]


def read_by_jobs(place: PipelinePlace) -> list[Path]:
    """Return the paths of the files that the jobs read."""
    return [place.top / name for name in place.file.beside]


def _guide(place: PipelinePlace) -> FileChange:
    """Plan the guide so that it names the file and the environment of the pipeline."""
    module = _module(place)
    module_files.refuse_links(module, place.guide)
    before = module_files.read(module, place.guide)
    after = None if before is None else _with_names(before.decode("utf-8", "surrogateescape"), place)
    written = None if after is None else after.encode("utf-8", "surrogateescape")
    return FileChange(place.guide, before, written, below=module)


def _with_names(guide: str, place: PipelinePlace) -> str:
    """Return a guide with the current names of the pipeline's file and environment.

    ``"gh workflow run deploy-yoda.yml" -> "gh workflow run deploy-yoda-stock.yml"`` for that file.
    """
    for pattern, name in place.file.mentions(place.path.name):
        guide = pattern.sub(lambda match, name=name: f"{match[1]}{name}", guide)  # type: ignore[misc]
    return guide


def _read_by_jobs(place: PipelinePlace, path: Path, *, remove: bool) -> FileChange:
    """Plan a file that the jobs read; it is kept as long as its first line, which says what it is for, is the same."""
    module = _module(place)
    module_files.refuse_links(module, path)
    before = module_files.read(module, path)
    wanted = place.file.beside[str(path.relative_to(place.top))]
    is_for_it = before is not None and before.partition(b"\n")[0] == wanted.partition(b"\n")[0]
    after = None if remove else before if is_for_it else wanted
    return FileChange(path, before, after, below=module, public=frozenset(wanted.decode().splitlines()))


def _module(place: PipelinePlace) -> Path:
    return place.guide.parent.parent.parent

"""Where a service's command is written: the Compose files, the Dockerfile, or a script, as words with places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from dagster_module_builder.adoption.command_text import (
    Source,
    UneditableError,
    Word,
    items_in,
    json_items,
    words_in,
)
from dagster_module_builder.adoption.container import Container
from dagster_module_builder.adoption.model import DagsterService, Place
from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.compose.project_files import ProjectFiles
from dagster_module_builder.shared_files.formats.yaml_nodes import merge_sources


@dataclass(frozen=True)
class Files:
    """The texts of a repository's files, each read once."""

    repository: Repository
    _sources: dict[Path, Source]

    def source(self, path: Path) -> Source:
        """Return a file as text; a path that is relative is the repository's.

        Raises:
            UneditableError: It is not UTF-8.
        """
        whole = self.repository.root / path
        if whole not in self._sources:
            try:
                text = (self.repository.read(whole) or b"").decode()
            except UnicodeDecodeError:
                raise UneditableError("the file is not UTF-8", Place(self.repository.inside(whole))) from None
            # YAML counts its places without a byte order mark.
            self._sources[whole] = Source(self.repository.inside(whole), text.removeprefix("\ufeff"))
        return self._sources[whole]

    def is_marked(self, path: Path) -> bool:
        """Return whether a file begins with a byte order mark."""
        return (self.repository.read(self.repository.root / path) or b"").startswith(b"\xef\xbb\xbf")


def words_of_service(files: Files, project: ProjectFiles, container: Container, service: DagsterService) -> list[Word]:
    """Return the words of what starts a service: its entrypoint and its command, or its script.

    Raises:
        UneditableError: They are written where they cannot be changed.
    """
    if service.script:
        source = files.source(service.script)
        return words_in(source, 0, len(source.text), by_line=True)
    own = {key: container.service.data.get(key) for key in ("entrypoint", "command")}
    words: list[Word] = []
    if own["entrypoint"]:
        words += _in_compose(files, project, service, "entrypoint")
    else:
        words += _in_dockerfile(files, container, "ENTRYPOINT")
    if own["command"]:
        words += _in_compose(files, project, service, "command")
    elif not own["entrypoint"]:
        words += _in_dockerfile(files, container, "CMD")
    return words


def _in_dockerfile(files: Files, container: Container, keyword: str) -> list[Word]:
    service = container.service
    if service.image_of is None or service.dockerfile is None:
        return []
    chain = service.image_of.chain(service.target)
    steps = [step for stage in chain for step in stage.instructions if step.keyword == keyword]
    if not steps:
        return []
    source = files.source(service.dockerfile)
    start, end = _instruction(source.text, steps[-1].line)
    first = start + len(source.text[start:end].split(None, 1)[0])
    if source.text[first:end].lstrip().startswith("["):
        return items_in(source, json_items(source, first, end), "flow")
    return words_in(source, first, end)


def _instruction(text: str, line: int) -> tuple[int, int]:
    """Return where an instruction is: lines that end with a backslash go on."""
    lines = [f"{line}\n" for line in text.split("\n")]
    last = line
    while last + 1 < len(lines) and (lines[last].rstrip().endswith("\\") or lines[last].lstrip().startswith("#")):
        last += 1
    return sum(map(len, lines[:line])), min(sum(map(len, lines[: last + 1])), len(text))


def _in_compose(files: Files, project: ProjectFiles, service: DagsterService, key: str) -> list[Word]:
    found = next(_values(files, project, service.name, key), None)
    if found is None:
        raise UneditableError(f"its {key} was not found in the Compose files", service.place)
    source, node = found
    if isinstance(node, yaml.SequenceNode):
        items = [(item.start_mark.index, item.end_mark.index, str(item.value)) for item in node.value]
        return items_in(source, items, "flow" if node.flow_style else "block")
    start, end = node.start_mark.index, node.end_mark.index
    text = source.text[start:end]
    if text[:1] in {"|", ">"}:
        # Compose splits it like a shell's words; only within quotes does a line end a command.
        return words_in(source, start + text.index("\n") + 1, end, by_line=text[0] == "|" and '-c "' in text)
    quoted = text[:1] in {'"', "'"}
    return words_in(source, start + quoted, end - quoted)


def _values(files: Files, project: ProjectFiles, name: str, key: str) -> Iterator[tuple[Source, yaml.Node]]:
    """Yield where a service's key has a value, the one that counts first."""
    paths = [*reversed(project.files), *(path for path in project.all_files if path not in project.files)]
    for path in paths:
        source = files.source(path)
        yield from ((source, node) for node in _of_service(source, name, key))
    for path in paths:
        source = files.source(path)
        for other in _extended(source, name):
            yield from (
                (files.source(each), node) for each in paths for node in _of_service(files.source(each), other, key)
            )


def _of_service(source: Source, name: str, key: str) -> Iterator[yaml.Node]:
    definition = service_node(source, name)
    value = value_of(definition, key) if definition else None
    if value is not None:
        yield value


def _extended(source: Source, name: str) -> Iterator[str]:
    definition = service_node(source, name)
    extends = value_of(definition, "extends") if definition else None
    named = value_of(extends, "service") if isinstance(extends, yaml.MappingNode) else extends
    if named is not None:
        yield str(named.value)


def service_node(source: Source, name: str) -> yaml.MappingNode | None:
    """Return a service's definition in a Compose file; None if the file has none."""
    root = yaml.compose(source.text, Loader=yaml.CSafeLoader)
    services = value_of(root, "services") if isinstance(root, yaml.MappingNode) else None
    definition = value_of(services, name) if isinstance(services, yaml.MappingNode) else None
    return definition if isinstance(definition, yaml.MappingNode) else None


def value_of(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Return the value of a mapping's key, also of one that it inherits by ``<<``."""
    if not isinstance(node, yaml.MappingNode):
        return None
    own: list[yaml.Node] = [value for name, value in node.value if name.value == key]
    if own:
        return own[-1]
    inherited = (value_of(source, key) for source in merge_sources(node))
    return next((value for value in inherited if value is not None), None)

"""What a Dockerfile puts where: its copies, its variables and its working directory, instruction by instruction."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.image import BuildStep, Image, Stage

_DEEPEST = 6
#: Images whose processes start in ``/``.
_AT_ROOT = re.compile(r"(?:docker\.io/)?(?:library/)?(?:python|debian|ubuntu|alpine)(?:[:@].*)?$|ghcr\.io/astral-sh/uv")
_COPIES = re.compile(r"^(?:cp|mv|install)\s+(?:-\S+\s+)*([^-\s]\S*)\s+(\S+)$")
_WRITES = re.compile(r"(?:>|\btee)\s*(\S+)")


@dataclass(frozen=True)
class _Copy:
    """A copy into the image; ``origin`` is the stage that it comes from, and ``source`` is None for text in place."""

    source: str | None
    destination: str
    origin: str | None
    line: int


@dataclass(frozen=True)
class Layers:
    """A stage's image.

    Attributes:
        image: The Dockerfile.
        copies: What it copies, in order.
        variables: The variables of its processes.
        working_dir: The folder that they start in; None if only its base image says it.
        arguments: The build's arguments.
    """

    image: Image
    copies: tuple[_Copy, ...]
    variables: Mapping[str, str]
    working_dir: str | None
    arguments: Mapping[str, str]

    def sources(self, path: str, depth: int = 0) -> Iterator[tuple[str | None, int]]:
        """Yield where a path of the image may come from, the last copy first.

        Yields:
            The path in the build context, None if the Dockerfile itself has the text; and the line, counted from 0.
        """
        for copy in reversed(self.copies):
            if copy.source is None:
                if copy.destination == path:
                    yield None, copy.line
                continue
            for candidate in _sources_of(copy.source, copy.destination, path):
                if copy.origin is None:
                    yield candidate.lstrip("/") or ".", copy.line
                elif depth < _DEEPEST and (stage := self._stage(copy.origin)):
                    yield from stage.sources(candidate, depth + 1)

    def _stage(self, origin: str) -> Layers | None:
        if origin == ".":
            return self
        for number, stage in enumerate(self.image.stages):
            if origin.lower() in {stage.name, str(number)}:
                chain = self.image.chain(stage.name) if stage.name else [stage]
                return _walked(self.image, chain, self.arguments)
        return None


def layers_of(image: Image, target: str | None, arguments: Mapping[str, str]) -> Layers:
    """Return what a stage of a Dockerfile says.

    Args:
        image: The Dockerfile.
        target: The stage; None for the last.
        arguments: The arguments of its build.
    """
    return _walked(image, image.chain(target), arguments)


def _walked(image: Image, chain: list[Stage], arguments: Mapping[str, str]) -> Layers:
    known: dict[str, str] = {}
    variables: dict[str, str] = {}
    folder: str | None = "/" if chain and _AT_ROOT.match(chain[0].base) else None
    copies: list[_Copy] = []
    for step in (step for stage in chain for step in stage.instructions):
        if step.keyword == "ENV":
            variables |= _pairs(step, known)
            known |= variables
        elif step.keyword == "ARG":
            known |= {name: value for name, value in _pairs(step, known).items() if name not in variables}
            known |= {name: arguments[name] for name in _names(step) if name in arguments}
        elif step.keyword == "WORKDIR":
            path = interpolated(" ".join(step.words), known)
            folder = posixpath.normpath(posixpath.join(folder or "/", path)) if folder or path[:1] == "/" else None
        else:
            copies.extend(_copies(step, known, folder or "/"))
    return Layers(image, tuple(copies), variables, folder, arguments)


def _pairs(step: BuildStep, known: Mapping[str, str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in step.words]
    if step.keyword == "ENV" and len(pairs) > 1 and not pairs[0][1]:
        return {pairs[0][0]: interpolated(" ".join(step.words[1:]), known)}
    return {name: interpolated(value, known) for name, equals, value in pairs if equals}


def _names(step: BuildStep) -> list[str]:
    return [word.partition("=")[0] for word in step.words]


def _copies(step: BuildStep, known: Mapping[str, str], folder: str) -> Iterator[_Copy]:
    if step.keyword == "RUN":
        yield from _moves(step, known, folder)
    if step.keyword not in {"COPY", "ADD"}:
        return
    words = [interpolated(word, known) for word in step.words]
    if words and words[0].startswith("<<"):
        target = words[1] if len(words) > 1 else "."
        yield _Copy(None, posixpath.normpath(posixpath.join(folder, target)), None, step.line)
    elif len(words) > 1:
        origin = next((word.partition("=")[2] for word in step.text.split() if word.startswith("--from=")), None)
        destination = posixpath.join(folder, words[-1])
        for source in words[:-1]:
            yield _Copy(source if origin is None else posixpath.join("/", source), destination, origin, step.line)


def _moves(step: BuildStep, known: Mapping[str, str], folder: str) -> Iterator[_Copy]:
    """Yield what a ``RUN`` copies or writes within the image, as far as its words say it."""
    for part in re.split(r"&&|;|\n", step.text):
        words = part.strip()
        if match := _COPIES.match(words):
            source, destination = (
                posixpath.join(folder, interpolated(path, known)) for path in _unquoted(*match.groups())
            )
            yield _Copy(source, destination, ".", step.line)
        elif match := _WRITES.search(words):
            (path,) = _unquoted(match[1])
            yield _Copy(None, posixpath.normpath(posixpath.join(folder, interpolated(path, known))), None, step.line)


def _unquoted(*words: str) -> list[str]:
    return [word.strip("\"'") for word in words]


def _sources_of(source: str, destination: str, path: str) -> Iterator[str]:
    """Yield what a copied path may have been: a folder gives its content, a file goes into a folder or gets a name."""
    folder = posixpath.normpath(destination)
    whole = posixpath.normpath(source)
    if path == folder:
        yield source
    if path.startswith(folder.rstrip("/") + "/"):
        below = posixpath.relpath(path, folder)
        name = posixpath.basename(whole)
        if below == name or ("*" in name and "/" not in below and fnmatchcase(below, name)):
            yield posixpath.join(posixpath.dirname(whole), below)
        yield posixpath.normpath(posixpath.join(source, below))

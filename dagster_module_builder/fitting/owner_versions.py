"""The versions that an image's owner asks for: read from its Dockerfile and from the files that this installs from."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dagster_module_builder.claims.facts import interpolated
from dagster_module_builder.compose.image import BuildStep, Image, Stage, expanded
from dagster_module_builder.compose.service import Service
from dagster_module_builder.compose.stack import Reader
from dagster_module_builder.fitting import requirement_files
from dagster_module_builder.fitting.context_files import ContextFiles
from dagster_module_builder.fitting.install_commands import Install, installs_of
from dagster_module_builder.fitting.requirement_files import Stated

_PYTHON = re.compile(r"python:?(3\.\d+)")
#: Images of Dagster's makers, whose tag is Dagster's version.
_DAGSTERS = re.compile(r"(?:docker\.io/)?dagster/[\w.-]+:(\d+\.\d+\.\d+)")
_FROM_STAGE = re.compile(r"--from=(\S+)")
_BOUND = re.compile(r"--mount=(\S*type=bind\S*)")


def python_of(service: Service) -> str | None:
    """Return the version of Python in a service's image by its base image's tag: ``"3.12"``."""
    image = service.image_of
    chain = image.chain(service.target) if image else []
    match = _PYTHON.search(expanded(chain[0].base, _arguments(service))) if chain else None
    return match[1] if match else None


def owner_versions(service: Service, read: Reader) -> list[Stated]:
    """Return the versions that a service's Dockerfile asks for, of the packages in Dagster's environment.

    A package that is pinned has no other entry. What cannot be followed is left out.
    """
    image = service.image_of
    if image is None or service.dockerfile is None or service.context is None:
        return []
    found: dict[str, list[Stated]] = {}
    for chain in _chains(image, service.target):
        files = ContextFiles(service.context, read)
        for environment, each in _Build(service, image, files, read).followed(chain):
            found.setdefault(environment, []).append(each)
    of_dagster = [name for name, listed in found.items() if any(each.is_dagsters for each in listed)]
    return _decisive([each for name in of_dagster or [""] for each in found.get(name, ())])


def _decisive(listed: Sequence[Stated]) -> list[Stated]:
    """Return those that decide on a version: the last pin of each package, else all its ranges."""
    kept: list[Stated] = []
    for each in listed:
        if each.installs and each.name == "dagster" and each.version:
            # Limits are those of one command: this one installs another Dagster and its libraries.
            kept = [earlier for earlier in kept if earlier.installs]
        if each.requirement.specifier and (each.installs or each.is_dagsters):
            kept.append(each)
    pins = {each.name: each for each in kept if each.version}
    return [*pins.values(), *(each for each in kept if each.name not in pins)]


def _chains(image: Image, target: str | None) -> list[list[Stage]]:
    """Return a stage with those that it is based on, after those that it copies from."""
    chains: list[list[Stage]] = []
    left: list[str | None] = [target]
    seen: set[str | None] = set()
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        chains.insert(0, chain := image.chain(name))
        left += (stage for stage in _copied_from(chain, image))
    return chains


def _copied_from(chain: Sequence[Stage], image: Image) -> Iterator[str]:
    names = {stage.name for stage in image.stages if stage.name}
    steps = (step for stage in chain for step in stage.instructions if step.keyword in {"COPY", "ADD"})
    for name in (match[1].lower() for step in steps if (match := _FROM_STAGE.search(step.text))):
        if name in names:
            yield name
        elif name.isdigit() and int(name) < len(image.stages) and (of_number := image.stages[int(name)].name):
            yield of_number


def _arguments(service: Service) -> dict[str, str]:
    """Return the values of ``ARG`` in a service's Dockerfile, as far as they are known before its first stage."""
    return {**(service.image_of.arguments if service.image_of else {}), **_build_arguments(service)}


def _build_arguments(service: Service) -> dict[str, str]:
    build = service.data.get("build")
    given = build.get("args") if isinstance(build, dict) else None
    pairs = given.items() if isinstance(given, dict) else (str(one).partition("=")[::2] for one in given or ())
    return {
        str(name): service.env.get(str(name), "") if value is None else interpolated(str(value), service.env)
        for name, value in pairs
    }


@dataclass
class _Build:
    """A build that is followed instruction by instruction."""

    service: Service
    image: Image
    files: ContextFiles
    read: Reader
    folder: str = "/"

    @cached_property
    def variables(self) -> dict[str, str]:
        return _arguments(self.service)

    @cached_property
    def given(self) -> Mapping[str, str]:
        return _build_arguments(self.service)

    def followed(self, chain: Sequence[Stage]) -> Iterator[tuple[str, Stated]]:
        """Yield each requirement with its environment."""
        for match in filter(None, (_DAGSTERS.fullmatch(expanded(stage.base, self.variables)) for stage in chain[:1])):
            for each in requirement_files.stated(f"dagster=={match[1]}", self._place(chain[0].line, "")):
                yield "", each
        for step in (step for stage in chain for step in stage.instructions):
            if step.keyword == "RUN":
                yield from self._run(step)
            else:
                self._note(step)

    def _note(self, step: BuildStep) -> None:
        if step.keyword == "WORKDIR":
            self.folder = self._path(" ".join(step.words))
        elif step.keyword in {"ENV", "ARG"}:
            pairs = [word.partition("=") for word in step.words]
            given = self.given if step.keyword == "ARG" else {}
            for name, equals, value in pairs:
                if equals or name in given:
                    self.variables[name] = given.get(name, expanded(value, self.variables))
        elif step.keyword in {"COPY", "ADD"} and "--from=" not in step.text and len(step.words) > 1:
            *sources, target = (expanded(word, self.variables) for word in step.words)
            self.files.copies += [(source, self._path(target)) for source in sources]

    def _run(self, step: BuildStep) -> Iterator[tuple[str, Stated]]:
        for options in _BOUND.findall(step.text):
            values: dict[str, str] = dict(option.partition("=")[::2] for option in options.split(","))
            source, target = (values.get(long) or values.get(short) or "" for long, short in _MOUNT_OPTIONS)
            self.files.copies.append((source, self._path(expanded(target, self.variables))))
        for install in installs_of(step):
            environment = expanded(install.environment, self.variables)
            yield from ((environment, each) for each in self._stated(install, step))

    def _stated(self, install: Install, step: BuildStep) -> Iterator[Stated]:
        for text in install.requirements:
            yield from requirement_files.stated(expanded(text, self.variables), self._place(step.line, text))
        for names, installs in ((install.files, True), (install.limits, False)):
            for file in filter(None, map(self._file, names)):
                yield from requirement_files.of_lines(file, self.read, installs=installs)
        for project in (re.sub(r"\[.*\]$", "", name) for name in install.projects):
            for file in filter(None, (self._file(f"{project}/{name}") for name in _PROJECT_FILES)):
                yield from requirement_files.of_project(file, self.read)
        for lock in filter(None, map(self._file, requirement_files.LOCKS if install.lock else ())):
            yield from requirement_files.of_lock(lock, self.read)

    def _file(self, name: str) -> Path | None:
        return self.files.find(self._path(expanded(name, self.variables)))

    def _path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder, expanded(path, self.variables)))

    def _place(self, line: int, words: str) -> str:
        """Return where an instruction has these words."""
        sought = words.encode("utf-8", "surrogateescape")
        own = self.image.own
        at = next((number for number in range(line, len(own)) if sought in own[number]), line)
        return f"{self.service.dockerfile}:{at + 1}"


_MOUNT_OPTIONS = (("source", "src"), ("target", "dst"))
_PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")

"""What a Dockerfile says of the image that it makes: stages, what they start, what is in them."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats.dockerfile import instructions, position
from dagster_module_builder.shared_files.formats.outline import KeyPath

_FROM = re.compile(r"(?:--platform=\S+\s+)?(\S+)(?:\s+as\s+(\S+))?", re.IGNORECASE)
_CONTINUED = re.compile(r"\\\s*\n\s*")
_UV = re.compile(r"(?<![\w.-])uv(?![\w.-])|astral-sh/uv")
_FLAG = re.compile(r"--\S+")


@dataclass(frozen=True)
class BuildStep:
    """An instruction: its first line (counted from 0), its keyword in capitals, and its arguments on one line."""

    line: int
    keyword: str
    text: str

    @property
    def words(self) -> list[str]:
        """The arguments, in either form, without flags."""
        if self.text.startswith("["):
            try:
                return [str(word) for word in json.loads(self.text)]
            except ValueError:
                pass
        try:
            words = shlex.split(self.text)
        except ValueError:
            words = self.text.split()
        return [word for word in words if self.keyword not in {"COPY", "ADD"} or not _FLAG.match(word)]


@dataclass(frozen=True)
class Stage:
    """A stage: its name, what it begins with, and its instructions."""

    name: str | None
    base: str
    instructions: tuple[BuildStep, ...]


@dataclass(frozen=True)
class Image:
    """A Dockerfile, read: its own lines and its stages."""

    own: tuple[bytes, ...]
    stages: tuple[Stage, ...]

    @cached_property
    def text(self) -> str:
        """The file as text."""
        return b"".join(self.own).decode("utf-8", "replace")

    def chain(self, target: str | None) -> list[Stage]:
        """Return a stage and those that it is made from, the first one first."""
        names = {stage.name: stage for stage in self.stages if stage.name}
        stage = names.get(target.lower()) if target else (self.stages[-1] if self.stages else None)
        found: list[Stage] = []
        while stage and stage not in found:
            found.insert(0, stage)
            stage = names.get(stage.base.lower())
        return found

    def _all(self, target: str | None, *keywords: str) -> Iterator[BuildStep]:
        for stage in self.chain(target):
            yield from (one for one in stage.instructions if one.keyword in keywords)

    def start(self, target: str | None) -> tuple[str, str]:
        """Return the entrypoint and the command that an image of this stage starts."""
        last = {one.keyword: " ".join(one.words) for one in self._all(target, "ENTRYPOINT", "CMD")}
        return last.get("ENTRYPOINT", ""), last.get("CMD", "")

    def environment(self, target: str | None) -> dict[str, str]:
        """Return the variables that a stage sets."""
        found: dict[str, str] = {}
        for one in self._all(target, "ENV"):
            pairs = [word.partition("=") for word in one.words]
            if pairs and not pairs[0][1]:
                found[pairs[0][0]] = " ".join(one.words[1:])
            else:
                found |= {name: _expanded(value, found) for name, _, value in pairs}
        return found

    def working_dir(self, target: str | None) -> str | None:
        """Return the folder that a stage's image starts in; None where only its base knows."""
        folder: str | None = None
        for one in self._all(target, "WORKDIR"):
            given = _expanded(" ".join(one.words), self.environment(target))
            folder = (
                posixpath.normpath(posixpath.join(folder or "/", given)) if folder or given.startswith("/") else None
            )
        return folder

    def user(self, target: str | None) -> str | None:
        """Return the user that a stage's image runs as; None where only its base knows."""
        return next((" ".join(one.words) for one in reversed([*self._all(target, "USER")])), None)

    def shared_slot(self, targets: Iterable[str | None]) -> KeyPath | None:
        """Return the slot in the last stage that all these targets are made from; None where there is none."""
        chains = [self.chain(target) for target in targets]
        shared = [stage for stage in chains[0] if all(stage in chain for chain in chains)] if chains else []
        if not shared:
            return None
        if shared[-1] is self.stages[-1]:
            return ()
        return (shared[-1].name,) if shared[-1].name else None

    def _before_blocks(self, slot: KeyPath) -> list[BuildStep]:
        if slot not in self._before:
            line = position(self.own, slot)
            chain = self.chain(slot[0] if slot else None)
            self._before[slot] = [one for stage in chain for one in stage.instructions if one.line < line]
        return self._before[slot]

    @cached_property
    def _before(self) -> dict[KeyPath, list[BuildStep]]:
        return {}

    def has_uv(self, slot: KeyPath) -> bool:
        """Whether the program uv is there where the modules' blocks stand."""
        if any("astral-sh/uv" in stage.base for stage in self.chain(slot[0] if slot else None)):
            return True
        tools = (one for one in self._before_blocks(slot) if one.keyword in {"RUN", "COPY", "ADD"})
        return any(_UV.search(one.text) for one in tools)

    def mentions(self, path: str, slot: KeyPath) -> bool:
        """Tell whether something puts a file at this path before the modules' blocks."""
        return any(path in one.text for one in self._before_blocks(slot))

    def copied(self, target: str | None) -> list[tuple[str, str]]:
        """Return what is copied from the context: each source, with its destination."""
        copies = [one for one in self._all(target, "COPY", "ADD") if "--from=" not in one.text]
        env = self.environment(target)
        return [(_expanded(source, env), _expanded(one.words[-1], env)) for one in copies for source in one.words[:-1]]


def _expanded(text: str, env: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda found: env.get(found[1] or found[2], found[0]), text)


def read_image(text: bytes) -> Image:
    """Read a Dockerfile (https://docs.docker.com/reference/dockerfile/)."""
    own = split_lines(text)
    stages: list[tuple[str | None, str, list[BuildStep]]] = []
    for instruction in instructions(own):
        first, keyword = instruction.first, instruction.keyword
        lines = [
            line for line in own[first : instruction.end] if line is own[first] or not line.lstrip().startswith(b"#")
        ]
        whole = _CONTINUED.sub(" ", b"".join(lines).decode("utf-8", "replace").replace("\r\n", "\n"))
        arguments = whole.strip().partition(" ")[2].strip()
        if keyword == b"FROM" and (match := _FROM.match(arguments)):
            stages.append((match[2].lower() if match[2] else None, match[1], []))
        elif stages:
            stages[-1][2].append(BuildStep(first, keyword.decode("utf-8", "replace"), arguments))
    return Image(tuple(own), tuple(Stage(name, base, tuple(steps)) for name, base, steps in stages))

"""The image that a Dockerfile builds: its stages, what they start, and what they contain."""

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
        """The arguments in shell or JSON form as a list, without flags."""
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
    """A stage: its name, its base image or stage, and its instructions."""

    name: str | None
    base: str
    instructions: tuple[BuildStep, ...]


@dataclass(frozen=True)
class Image:
    """A parsed Dockerfile: its own lines and its stages."""

    own: tuple[bytes, ...]
    stages: tuple[Stage, ...]

    @cached_property
    def text(self) -> str:
        """The file as text."""
        return b"".join(self.own).decode("utf-8", "replace")

    def chain(self, target: str | None) -> list[Stage]:
        """Return a stage after the stages that it is based on, the first one first."""
        names = {stage.name: stage for stage in self.stages if stage.name}
        stage = names.get(target.lower()) if target else (self.stages[-1] if self.stages else None)
        stages: list[Stage] = []
        while stage and stage not in stages:
            stages.insert(0, stage)
            stage = names.get(stage.base.lower())
        return stages

    def _all(self, target: str | None, *keywords: str) -> Iterator[BuildStep]:
        for stage in self.chain(target):
            yield from (step for step in stage.instructions if step.keyword in keywords)

    def start(self, target: str | None) -> tuple[str, str]:
        """Return the entrypoint and the command of a stage's image."""
        last = {step.keyword: " ".join(step.words) for step in self._all(target, "ENTRYPOINT", "CMD")}
        return last.get("ENTRYPOINT", ""), last.get("CMD", "")

    def environment(self, target: str | None) -> dict[str, str]:
        """Return the variables that a stage sets."""
        variables: dict[str, str] = {}
        for step in self._all(target, "ENV"):
            pairs = [word.partition("=") for word in step.words]
            if pairs and not pairs[0][1]:
                variables[pairs[0][0]] = " ".join(step.words[1:])
            else:
                variables |= {name: _expanded(value, variables) for name, _, value in pairs}
        return variables

    def working_dir(self, target: str | None) -> str | None:
        """Return the working directory of a stage's image; None if only its base image sets it."""
        folder: str | None = None
        for step in self._all(target, "WORKDIR"):
            path = _expanded(" ".join(step.words), self.environment(target))
            folder = posixpath.normpath(posixpath.join(folder or "/", path)) if folder or path.startswith("/") else None
        return folder

    def user(self, target: str | None) -> str | None:
        """Return the user of a stage's image; None if only its base image sets it."""
        return next((" ".join(step.words) for step in reversed([*self._all(target, "USER")])), None)

    def shared_slot(self, targets: Iterable[str | None]) -> KeyPath | None:
        """Return the slot in the last stage that all these targets are based on, or None."""
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
            self._before[slot] = [step for stage in chain for step in stage.instructions if step.line < line]
        return self._before[slot]

    @cached_property
    def _before(self) -> dict[KeyPath, list[BuildStep]]:
        return {}

    def has_uv(self, slot: KeyPath) -> bool:
        """Return whether uv is installed before the modules' blocks."""
        if any("astral-sh/uv" in stage.base for stage in self.chain(slot[0] if slot else None)):
            return True
        tools = (step for step in self._before_blocks(slot) if step.keyword in {"RUN", "COPY", "ADD"})
        return any(_UV.search(step.text) for step in tools)

    def mentions(self, path: str, slot: KeyPath) -> bool:
        """Return whether an instruction before the modules' blocks contains this path."""
        return any(path in step.text for step in self._before_blocks(slot))

    def copied(self, target: str | None) -> list[tuple[str, str]]:
        """Return the files copied from the context: each source with its destination."""
        copies = [step for step in self._all(target, "COPY", "ADD") if "--from=" not in step.text]
        env = self.environment(target)
        return [
            (_expanded(source, env), _expanded(step.words[-1], env)) for step in copies for source in step.words[:-1]
        ]


def _expanded(text: str, env: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}|\$(\w+)", lambda match: env.get(match[1] or match[2], match[0]), text)


def read_image(text: bytes) -> Image:
    """Parse a Dockerfile (https://docs.docker.com/reference/dockerfile/)."""
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

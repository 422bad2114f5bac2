"""The image that a Dockerfile builds: its stages, what they start, and what they contain."""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats.dockerfile import installs_packages, instructions, position
from dagster_module_builder.shared_files.formats.outline import KeyPath

_FROM = re.compile(r"(?:--platform=\S+\s+)?(\S+)(?:\s+as\s+(\S+))?", re.IGNORECASE)
_CONTINUED = re.compile(r"\\\s*\n\s*")
_FLAG = re.compile(r"--\S+")
#: Images that do not run as root, with what gives the user back: their documents say to write that after 'USER root'
#: (Jupyter Docker Stacks, micromamba-docker, Apache Airflow).
_USERS = (
    (re.compile(r"(?:(?:docker\.io|quay\.io)/)?jupyter/[\w-]+"), "${NB_UID}"),
    (re.compile(r"(?:(?:docker\.io|ghcr\.io|quay\.io)/)?mamba-?org/micromamba\b"), "$MAMBA_USER"),
    (re.compile(r"(?:docker\.io/)?apache/airflow\b"), "airflow"),
)
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")


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
    """A stage: its name, its base image or stage, its instructions, and its first line (counted from 0)."""

    name: str | None
    base: str
    instructions: tuple[BuildStep, ...]
    line: int = 0


@dataclass(frozen=True)
class Image:
    """A parsed Dockerfile: its own lines, its stages, and the values of the ``ARG`` before them."""

    own: tuple[bytes, ...]
    stages: tuple[Stage, ...]
    arguments: Mapping[str, str] = field(default_factory=dict)

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
        arguments: dict[str, str] = {}
        for step in self._all(target, "ARG", "ENV"):
            pairs = [word.partition("=") for word in step.words]
            known = {**arguments, **variables}
            if step.keyword == "ARG":
                arguments |= {name: expanded(value, known) for name, equals, value in pairs if equals}
            elif pairs and not pairs[0][1]:
                variables[pairs[0][0]] = " ".join(step.words[1:])
            else:
                variables |= {name: expanded(value, known) for name, _, value in pairs}
        return variables

    def working_dir(self, target: str | None) -> str | None:
        """Return the working directory of a stage's image; None if only its base image sets it."""
        folder: str | None = None
        for step in self._all(target, "WORKDIR"):
            path = expanded(" ".join(step.words), self.environment(target))
            folder = posixpath.normpath(posixpath.join(folder or "/", path)) if folder or path.startswith("/") else None
        return folder

    def user(self, target: str | None) -> str | None:
        """Return the user of a stage's image; None if only its base image, which is not known, may set it."""
        stated = (" ".join(step.words) for step in reversed([*self._all(target, "USER")]))
        return next(stated, None) or self._user_of_base(self.chain(target))

    def _user_of_base(self, chain: list[Stage]) -> str | None:
        base = expanded(chain[0].base, self.arguments) if chain else ""
        return next((user for pattern, user in _USERS if pattern.match(base)), None)

    def user_before(self, slot: KeyPath) -> str | None:
        """Return the user that builds what stands at a slot; None if only a base image that is not known may set it."""
        stated = (" ".join(s.words) for s in reversed(self._before_blocks(slot)) if s.keyword == "USER")
        return next(stated, None) or self._user_of_base(self.chain(slot[0] if slot else None))

    def slots(self, targets: Iterable[str | None]) -> list[KeyPath]:
        """Return the slots from which all these targets get what stands in them; empty if there is no such stage.

        It is the slot in the last stage that all are based on, unless packages are installed in a later stage: with a
        block before it, that line would install other versions. Then each target has its own.
        """
        chains = [self.chain(target) for target in targets]
        if not all(chains):
            return []
        shared = [stage for stage in chains[0] if all(stage in chain for chain in chains)] if chains else []
        later = [step for chain in chains for stage in chain if stage not in shared for step in stage.instructions]
        slots = [self._slot(stage) for stage in shared[-1:]]
        if not shared or None in slots or any(installs_packages(f"{step.keyword} {step.text}") for step in later):
            slots = [self._slot(chain[-1]) for chain in chains]
        found = [slot for slot in slots if slot is not None]
        return list(dict.fromkeys(found)) if len(found) == len(slots) else []

    def _slot(self, stage: Stage) -> KeyPath | None:
        if stage is self.stages[-1]:
            return ()
        return (stage.name,) if stage.name else None

    def _before_blocks(self, slot: KeyPath) -> list[BuildStep]:
        if slot not in self._before:
            line = position(self.own, slot)
            chain = self.chain(slot[0] if slot else None)
            self._before[slot] = [step for stage in chain for step in stage.instructions if step.line < line]
        return self._before[slot]

    @cached_property
    def _before(self) -> dict[KeyPath, list[BuildStep]]:
        return {}

    def mentions(self, path: str, slot: KeyPath) -> bool:
        """Return whether an instruction before the modules' blocks contains this path."""
        return any(path in step.text for step in self._before_blocks(slot))

    def copied(self, target: str | None) -> list[tuple[str, str]]:
        """Return the files copied from the context: each source with its destination."""
        copies = [step for step in self._all(target, "COPY", "ADD") if "--from=" not in step.text]
        env = self.environment(target)
        return [(expanded(source, env), expanded(step.words[-1], env)) for step in copies for source in step.words[:-1]]


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with its variables replaced; unknown ones stay: ``"${A}/${B:-b}/$C" -> "a/b/$C"``."""
    return _VARIABLE.sub(lambda match: variables.get(match[1] or match[3], match[2] or match[0]), text)


def read_image(text: bytes) -> Image:
    """Parse a Dockerfile (https://docs.docker.com/reference/dockerfile/)."""
    own = split_lines(text)
    stages: list[tuple[str | None, str, list[BuildStep], int]] = []
    arguments: dict[str, str] = {}
    for instruction in instructions(own):
        first, keyword = instruction.first, instruction.keyword
        lines = [
            line for line in own[first : instruction.end] if line is own[first] or not line.lstrip().startswith(b"#")
        ]
        whole = _CONTINUED.sub(" ", b"".join(lines).decode("utf-8", "replace").replace("\r\n", "\n"))
        step = BuildStep(first, keyword.decode("utf-8", "replace"), whole.strip().partition(" ")[2].strip())
        if keyword == b"FROM" and (match := _FROM.match(step.text)):
            stages.append((match[2].lower() if match[2] else None, match[1], [], first))
        elif stages:
            stages[-1][2].append(step)
        elif keyword == b"ARG":
            arguments |= {name: value for name, _, value in (word.partition("=") for word in step.words)}
    made = (Stage(name, base, tuple(steps), line) for name, base, steps, line in stages)
    return Image(tuple(own), tuple(made), arguments)

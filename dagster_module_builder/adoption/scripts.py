"""Scripts that start one thing or another, by their arguments or by variables: what is left of them for a container."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

#: How deeply branches may be nested.
_DEEPEST = 100
_CASE = re.compile(r"case\s+(\S+)\s+in\b\s*(.*)")
_BRANCH = re.compile(r"\(?([^()]*)\)\s*(.*)")
_IF = re.compile(r"(if|elif)\s+(.*)")
_COMPARED = re.compile(r"\[{1,2}\s+[\"']?(\$\{?\w+(?::?-[^}\s]*)?\}?)[\"']?\s+==?\s+[\"']?([\w.-]+)[\"']?\s+\]{1,2}")
_REST_OF_CONDITION = re.compile(r"&&|;|\bthen\b|\s")
_ARGUMENT = re.compile(r"\$\{?(\d)(?::?-([^}\s]*))?\}?")


def reached(script: str, arguments: Sequence[str], expanded: Callable[[str], str]) -> str:
    """Return a script without the branches that a container does not take.

    Only what compares an argument or a variable with a text is decided; all other branches stay.

    Args:
        script: Its text.
        arguments: What it is called with.
        expanded: Returns a text with the container's variables replaced.
    """

    def value(word: str) -> str:
        return expanded(_ARGUMENT.sub(lambda match: _argument(match, arguments), word.strip("\"'")))

    return "\n".join(_Walk(value).lines(script))


def _argument(match: re.Match[str], arguments: Sequence[str]) -> str:
    position = int(match[1])
    return arguments[position - 1] if 0 < position <= len(arguments) else match[2] or ""


@dataclass
class _Block:
    """An open ``if`` or ``case``: whether its branch is taken, and whether another one surely was."""

    word: str | None = None
    is_taken: bool = False
    is_decided: bool = False
    at_pattern: bool = True


@dataclass
class _Walk:
    value: Callable[[str], str]
    blocks: list[_Block] = field(default_factory=list)

    def lines(self, script: str) -> Iterator[str]:
        """Yield the lines that are reached."""
        for line in script.splitlines():
            if len(self.blocks) > _DEEPEST:
                return
            text = line.strip()
            left = text if text.startswith("#") else self._line(text)
            if left and all(block.is_taken for block in self.blocks):
                yield left

    def _line(self, text: str) -> str:
        """Return what a line does beside opening, changing or closing a branch."""
        if match := _CASE.match(text):
            self.blocks.append(_Block(word=self.value(match[1])))
            return self._line(match[2]) if match[2] else ""
        if match := _IF.match(text):
            return self._condition(match[1], match[2])
        return self._within(self.blocks[-1], text) if self.blocks else text

    def _within(self, block: _Block, text: str) -> str:
        if text in {"esac", "fi"} or text.startswith(("esac ", "fi ", "esac;", "fi;")):
            self.blocks.pop()
            return ""
        if block.word is not None:
            return self._branch(block, block.word, text)
        if re.match(r"else\b", text):
            block.is_taken = not block.is_decided
            return text.removeprefix("else").strip()
        return text.removeprefix("then").strip() if re.match(r"then\b", text) else text

    def _branch(self, block: _Block, word: str, text: str) -> str:
        match = _BRANCH.match(text) if block.at_pattern else None
        if match:
            fits = any(fnmatchcase(word, pattern.strip(" \t\"'")) for pattern in match[1].split("|"))
            block.is_taken = fits and not block.is_decided
            block.is_decided |= fits
            block.at_pattern = False
            text = match[2]
        if text.endswith(";;"):
            block.at_pattern = True
            text = text.removesuffix(";;").strip()
            if not block.is_taken:
                return ""
            # The branch ends with this line, which is reached.
            return text if all(outer.is_taken for outer in self.blocks) else ""
        return text

    def _condition(self, keyword: str, text: str) -> str:
        holds = self._holds(text)
        if keyword == "if":
            if re.search(r"(?:;|\s)fi\b", text):
                return "" if holds is False else text
            self.blocks.append(_Block(is_taken=holds is not False, is_decided=holds is True))
        elif self.blocks:
            block = self.blocks[-1]
            block.is_taken = holds is not False and not block.is_decided
            block.is_decided |= holds is True
        return text.partition("then")[2].strip()

    def _holds(self, text: str) -> bool | None:
        """Return whether a condition holds; None if that is not known."""
        condition = text.partition("then")[0]
        compared = _COMPARED.findall(condition)
        if not compared or "||" in condition or "!" in condition:
            return None
        if any(self.value(left) != right for left, right in compared):
            return False
        rest = _REST_OF_CONDITION.sub("", _COMPARED.sub("", condition))
        return None if rest else True

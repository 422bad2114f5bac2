"""What a terminal showed, and when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeAlias

import pyte

#: Seconds: what changes faster is one picture; waiting for one thing is not shown for longer.
SHORTEST, LONGEST = 0.1, 1.8
#: What moves while a program waits: clocks, and Braille's spinners.
_MOVING = re.compile("[\\d\u2800-\u28ff]+")


@dataclass(frozen=True)
class Run:
    """Characters side by side that look the same.

    Attributes:
        column: Where they begin.
        text: The characters.
        colour: The colour's name, as pyte has it: ``green``, or ``0087ff``.
        bold: Whether they are bold.
    """

    column: int
    text: str
    colour: str = "default"
    bold: bool = False


Line: TypeAlias = tuple[Run, ...]
Picture: TypeAlias = tuple[Line, ...]


@dataclass(frozen=True)
class Shown:
    """A picture, and for how many seconds it stays."""

    picture: Picture
    seconds: float


def picture_of(screen: pyte.Screen) -> Picture:
    """Return what is on a screen."""
    return tuple(tuple(_runs(screen, row)) for row in range(screen.lines))


def _runs(screen: pyte.Screen, row: int) -> Iterator[Run]:
    cells = [(column, screen.buffer[row][column]) for column in range(screen.columns)]
    for (colour, bold), group in groupby(cells, lambda cell: (cell[1].fg, cell[1].bold)):
        same = list(group)
        text = "".join(cell.data for _, cell in same)
        if text.strip():
            start = len(text) - len(text.lstrip())
            yield Run(same[0][0] + start, text.strip(), colour, bold)


def cut(pictures: Iterable[tuple[float, Picture]], last: float = 4.0) -> list[Shown]:
    """Return the pictures without waiting times.

    Args:
        pictures: Each with the moment at which it was there, in seconds.
        last: For how many seconds the last one stays.
    """
    moments = _distinct(pictures)
    following = [moment for moment, _ in moments[1:]]
    timed = [Shown(picture, until - moment) for (moment, picture), until in zip(moments, following, strict=False)]
    hurried = [each for _, scene in groupby(timed, lambda shown: _still(shown.picture)) for each in _hurried([*scene])]
    return [*_without_flicker(hurried), *(Shown(picture, last) for _, picture in moments[-1:])]


def _still(picture: Picture) -> str:
    """Return what does not move in a picture."""
    return _MOVING.sub("", "\n".join(" ".join(run.text for run in line) for line in picture))


def _hurried(scene: Sequence[Shown]) -> list[Shown]:
    """Return pictures in which only clocks move, in no more than the longest time."""
    pace = min(1.0, LONGEST / sum(shown.seconds for shown in scene))
    return [Shown(shown.picture, shown.seconds * pace) for shown in scene]


def _distinct(pictures: Iterable[tuple[float, Picture]]) -> Sequence[tuple[float, Picture]]:
    kept: list[tuple[float, Picture]] = []
    for moment, picture in pictures:
        if not kept or kept[-1][1] != picture:
            kept.append((moment, picture))
    return kept


def _without_flicker(shown: Sequence[Shown]) -> Iterator[Shown]:
    """Leave out what is too short to be seen, and give its time to what follows."""
    waiting = 0.0
    for each in shown:
        waiting += each.seconds
        if waiting >= SHORTEST:
            yield Shown(each.picture, waiting)
            waiting = 0.0

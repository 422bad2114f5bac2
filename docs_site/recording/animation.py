"""An animated SVG of what a terminal showed: one strip of pictures that moves, by CSS alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from xml.sax.saxutils import escape

from docs_site.recording.film import Line, Shown

#: Pixels: of a character, of a line, and around them.
WIDTH, HEIGHT, EDGE, BAR = 8.4, 19, 16, 30
_FOR_READERS = 'role="img" aria-labelledby="title description"'
_BACKGROUND, _TEXT = "#11151c", "#d7dde8"
#: By pyte's names.
_COLOURS = {
    "black": "#6b7689", "red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341", "blue": "#79c0ff",
    "magenta": "#d2a8ff", "cyan": "#76e3ea", "white": "#f0f3f8",
    "brightblack": "#8b97ab", "brightred": "#ffa198", "brightgreen": "#a5f3b0", "brightbrown": "#f2cc60",
    "brightblue": "#a5d6ff", "brightmagenta": "#e2c5ff", "brightcyan": "#a2f0f4", "brightwhite": "#ffffff",
}  # fmt: skip


def svg(film: Sequence[Shown], columns: int, title: str, description: str) -> str:
    """Return the animation.

    Args:
        film: The pictures.
        columns: The screen's width in characters.
        title: What it is, for those who do not see it.
        description: What happens in it.
    """
    lines = {line: number for number, line in enumerate(dict.fromkeys(_drawn(film)))}
    rows = max((len(shown.picture) for shown in film), default=0)
    wide, high = round(columns * WIDTH + 2 * EDGE), rows * HEIGHT + BAR + EDGE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" {_FOR_READERS}>',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="description">{escape(description)}</desc>',
            f"<style>{_style(film, wide)}</style>",
            "<defs>",
            *(f'<g id="l{number}">{_texts(line)}</g>' for line, number in lines.items()),
            "</defs>",
            f'<rect width="{wide}" height="{high}" rx="10" fill="{_BACKGROUND}"/>',
            *(f'<circle cx="{20 + 18 * at}" cy="16" r="5" fill="#3b4454"/>' for at in range(3)),
            '<g class="strip">',
            *(f'<g transform="translate({at * wide})">{_uses(each, lines)}</g>' for at, each in enumerate(film)),
            "</g>",
            "</svg>",
            "",
        ]
    )


def _drawn(film: Sequence[Shown]) -> list[Line]:
    return [line for shown in film for line in shown.picture if line]


def _style(film: Sequence[Shown], wide: int) -> str:
    whole = sum(shown.seconds for shown in film)
    starts = [0.0, *accumulate(shown.seconds for shown in film[:-1])]
    steps = "".join(
        f"{100 * start / whole:.3f}%{{transform:translateX({-at * wide}px)}}" for at, start in enumerate(starts)
    )
    end = f"translateX({-(len(film) - 1) * wide}px)"
    return (
        f"text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:{_TEXT};"
        "white-space:pre}"
        ".b{font-weight:700}"
        f".strip{{animation:film {whole:.2f}s steps(1,end) infinite}}"
        f"@keyframes film{{{steps}to{{transform:{end}}}}}"
        # Who wants no movement sees how it ends.
        f"@media (prefers-reduced-motion:reduce){{.strip{{animation:none;transform:{end}}}}}"
    )


def _texts(line: Line) -> str:
    return "".join(
        f'<text x="{EDGE + run.column * WIDTH:.1f}" textLength="{len(run.text) * WIDTH:.1f}" '
        f'lengthAdjust="spacingAndGlyphs"{_looks(run.colour, bold=run.bold)}>{escape(run.text)}</text>'
        for run in line
    )


def _looks(colour: str, *, bold: bool) -> str:
    value = _COLOURS.get(colour, f"#{colour}" if len(colour) == 6 and colour.isalnum() else "")
    return (f' fill="{value}" style="fill:{value}"' if value else "") + (' class="b"' if bold else "")


def _uses(shown: Shown, lines: dict[Line, int]) -> str:
    return "".join(
        f'<use href="#l{lines[line]}" y="{BAR + (row + 1) * HEIGHT - 5}"/>'
        for row, line in enumerate(shown.picture)
        if line
    )

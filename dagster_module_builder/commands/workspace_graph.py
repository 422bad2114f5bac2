"""``workspace.graph``: a picture of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from dagster_module_builder.base.errors import UsageError
from dagster_module_builder.base.settings import expanded
from dagster_module_builder.commands import console
from dagster_module_builder.commands.base import ROOT_HELP, choice, command, root_of

if TYPE_CHECKING:
    from dagster_module_builder.overview.graph import Graph

FORMATS = ("mermaid", "svg")
#: A picture's format, by the end of its file's name; '.md' is a page with the picture in it.
_SUFFIXES = {".mmd": "mermaid", ".md": "mermaid", ".svg": "svg"}


@command(
    "workspace.graph",
    help={
        "root": ROOT_HELP,
        "format": "mermaid or svg (default: what --output ends with, else mermaid).",
        "output": "Write it to this file, which ends with .mmd, .md or .svg, instead of stdout.",
    },
)
def graph(
    _context: Context,
    root: str | None = None,
    format: str | None = None,  # noqa: A002 - the name of the flag
    output: str | None = None,
) -> None:
    """Draw the modules with their databases, code servers, deployments and hosts; no host is asked."""
    from dagster_module_builder.overview.workspace_graph import workspace_graph

    path = expanded(output).absolute() if output else None
    chosen = _format(format, path)
    if console.is_for_programs() and format and path is None:
        raise UsageError("--json prints data, not a picture. Leave out --format, or pass --output FILE.")
    drawn = workspace_graph(root_of(root))
    if path is not None:
        _write(path, _picture(drawn, chosen, as_page=path.suffix.lower() == ".md"))
        console.say(f"Wrote {path}")
    else:
        console.say(_picture(drawn, chosen).removesuffix("\n"))
    console.give(drawn.to_json())


def _format(given: str | None, path: Path | None) -> str:
    """Return the picture's format.

    Raises:
        UsageError: The file's name says another one than the flag, or none.
    """
    if given:
        choice("format", given, FORMATS)
    if path is None:
        return given or FORMATS[0]
    by_name = _SUFFIXES.get(path.suffix.lower())
    if by_name is None:
        raise UsageError(f"{path.name} is no name of a picture: it must end with .mmd, .md or .svg.")
    if given and given != by_name:
        raise UsageError(f"{path.name} is for {by_name}, but --format says {given}. Pass one of the two.")
    return by_name


def _picture(drawn: Graph, chosen: str, *, as_page: bool = False) -> str:
    from dagster_module_builder.overview.mermaid import markdown, mermaid
    from dagster_module_builder.overview.svg import svg

    return svg(drawn) if chosen == "svg" else markdown(drawn) if as_page else mermaid(drawn)


def _write(path: Path, picture: str) -> None:
    from dagster_module_builder.transactions import module_files

    module_files.write(path.parent, path, picture.encode())


TASKS = (graph,)

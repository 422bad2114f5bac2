"""Every task with its flags, as the command line itself knows them."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

from dagster_module_builder.commands import namespace
from docs_site.markdown_text import code, plain, table

PAGE = "reference/flags.md"
PROGRAM = "dagster-module-builder"
_INTRODUCTION = """# Every task and flag

This page is made from the command line itself. `TASK --help` prints the same;
[tasks and exit statuses](tasks.md) has the short list.
"""
_TITLES = {
    "": "Modules and this machine",
    "workspace": "Workspace",
    "deploy": "Deployments",
    "care": "A Dagster that has run for years",
}


def page() -> str:
    """Return the page."""
    groups = itertools.groupby(sorted(namespace.task_names, key=_place), _group)
    return "\n".join([_INTRODUCTION, *(part for group, names in groups for part in _section(group, names))])


def _group(name: str) -> str:
    return name.rpartition(".")[0]


def _place(name: str) -> int:
    return list(_TITLES).index(_group(name))


def _section(group: str, names: Iterator[str]) -> Iterator[str]:
    yield f"## {_TITLES[group]}\n"
    for name in sorted(names):
        yield from _task(name, namespace[name])


def _task(name: str, task: Any) -> Iterator[str]:
    arguments = task.get_arguments()
    positional = [one for one in arguments if one.positional]
    words = [PROGRAM, name, *(_placeholder(one.names[0]) for one in positional), "[flags]"]
    yield f"### {name}\n\n{plain(inspect.getdoc(task) or '')}\n\n```text\n{' '.join(words)}\n```\n"
    yield table(("argument", "what it does"), [_row(one) for one in (*positional, *_flags(arguments))])


def _flags(arguments: list[Any]) -> list[Any]:
    return sorted((one for one in arguments if not one.positional), key=lambda one: str(one.names[0]))


def _placeholder(name: str) -> str:
    return name.upper().replace("-", "_")


def _row(argument: Any) -> tuple[str, str]:
    name = argument.names[0]
    if argument.positional:
        return code(_placeholder(name)), plain(argument.help or "")
    value = "" if argument.kind is bool else f"={'NUMBER' if argument.kind is int else 'TEXT'}"
    return code(f"--{name}{value}"), plain(argument.help or "")

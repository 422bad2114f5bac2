"""The file in a workspace's root that says where its other files are: its text."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_module_builder.base.layout import SECTION

_HEAD = """\
# Where the files of this Dagster workspace are, for dagster-module-builder. Edit it when you move one; commit it.
# Paths are relative to this file; lists have one item a line, indented.
"""
_SAYS = {
    "compose-file": "The Docker Compose file that modules' services go into.",
    "compose-files": "All Compose files in the order of -f; empty if Compose finds them itself.",
    "compose-folder": "The folder that paths in compose-file are relative to; empty for that of the first file.",
    "workspace-file": "Dagster's list of code locations.",
    "dg-file": "The file in which dg finds the projects of its workspace.",
    "env-file": "The variables that Compose reads.",
    "dockerfiles": "The Dockerfiles of the services that run modules' code; empty if others build these images.",
    "instance-file": "Dagster's instance.",
    "projects": "The folders of the modules, separated by commas; new ones go into the first.",
    "data": "Outputs of runs without containers.",
    "state": "This program's registry, backups and lock.",
    "code-services": "The services that run modules' code; empty if the Compose file shows it.",
}
#: What an empty value says, where that is more than nothing.
_SAYS_EMPTY = {
    "compose-file": "No Docker Compose file: Dagster runs on this machine without containers.",
    "workspace-file": "No workspace.yaml: dg lists the code locations.",
}


def text_of(values: Mapping[str, str]) -> bytes:
    """Return the file's text for these values; each has a comment that explains it."""
    parts = [f"# {_said(key, values[key])}\n{key} ={_listed(values[key])}\n" for key in _SAYS if key in values]
    return (_HEAD + f"[{SECTION}]\n" + "\n".join(parts)).encode()


def _said(key: str, value: str) -> str:
    return _SAYS_EMPTY.get(key, _SAYS[key]) if not value else _SAYS[key]


def _listed(value: str) -> str:
    """Return a value as it stands behind its key."""
    lines = value.splitlines()
    return "".join(f"\n    {line}" for line in lines) if len(lines) > 1 else f" {value}".rstrip()

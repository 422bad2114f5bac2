"""``workspace.yaml``: the code locations that Dagster loads.

The format is Dagster's (https://docs.dagster.io/guides/build/projects/workspaces/workspace-yaml).
"""

from __future__ import annotations

from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats.compose import children_text
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.yaml_file import YamlFile

NAME = "workspace.yaml"
FILE = YamlFile(NAME)
SLOT = ("load_from",)


def contributions(fragment: bytes) -> list[Contribution]:
    """Return the location entries that a fragment contributes to the workspace.

    Raises:
        UnsafeEditError: The fragment cannot be read, or names no location.
    """
    outline = outline_of(split_lines(fragment))
    outline.refuse_repeated()
    key = outline.find(SLOT)
    if key is None:
        raise UnsafeEditError(0, "'load_from:' with the module's location is missing")
    return [Contribution(SLOT, sequence=children_text(outline, key))]

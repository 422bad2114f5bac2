"""Applying all rules to all fragments of a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from dagster_module_builder.fragment_rules.owner import Owner, OwnPath
from dagster_module_builder.fragment_rules.references import (
    NO_NAMES,
    WorkspaceNames,
    refused_anchors,
    refused_settings_of_env,
    refused_variables,
)
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.sections import owner_of, refused_in_compose, refused_locations
from dagster_module_builder.fragment_rules.snippet import refused_in_snippet
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import UnsafeEditError, outline_of

#: A module with more refused settings is refused altogether: such a list would not be read.
MOST_REFUSED = 200


@dataclass(frozen=True)
class Judged:
    """The result of the rules for a module's fragments.

    Attributes:
        refused: The settings that the user must allow, by file and line.
        paths: The module's paths that Docker reads for its fragments: links in them must not lead out of the module.
        owner: The module with the names from its fragments.
    """

    refused: tuple[Refused, ...]
    paths: tuple[OwnPath, ...]
    owner: Owner


def judge(name: str, fragments: Mapping[str, bytes], names_around: WorkspaceNames = NO_NAMES) -> Judged:
    """Apply the rules to a module's fragments.

    Args:
        name: The module's name.
        fragments: Its fragments, by the shared file that they are for.
        names_around: The workspace's names.

    Raises:
        UnsafeEditError: A YAML fragment cannot be read, or too many settings are refused.
    """
    owner = owner_of(name, fragments)
    refused = list(islice(_refused(owner, fragments, names_around), MOST_REFUSED + 1))
    if len(refused) > MOST_REFUSED:
        raise UnsafeEditError(0, f"more than {MOST_REFUSED} settings that need your permission")
    in_order = sorted(refused, key=lambda setting: (setting.file, setting.line))
    return Judged(tuple(dict.fromkeys(in_order)), tuple(dict.fromkeys(owner.paths)), owner)


def _refused(owner: Owner, fragments: Mapping[str, bytes], names_around: WorkspaceNames) -> Iterator[Refused]:
    yield from refused_locations(owner, fragments.get(workspace_yaml.NAME, b""))
    yield from refused_settings_of_env(owner.name, fragments.get(env_file.NAME, b""), names_around)
    if text := fragments.get(compose.NAME):
        outline = outline_of(split_lines(text))
        yield from refused_in_compose(owner, text)
        yield from refused_anchors(outline, names_around)
        yield from refused_variables(outline, owner, names_around)
    yield from refused_in_snippet(owner, fragments.get(dockerfile.NAME, b""))

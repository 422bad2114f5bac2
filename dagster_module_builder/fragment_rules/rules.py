"""All fragments of a module, looked at by all rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from dagster_module_builder.fragment_rules.owner import Owner, OwnPath
from dagster_module_builder.fragment_rules.references import (
    NOTHING_AROUND,
    Surroundings,
    refused_anchors,
    refused_settings_of_env,
    refused_variables,
)
from dagster_module_builder.fragment_rules.refused import Refused
from dagster_module_builder.fragment_rules.sections import owner_of, refused_in_compose, refused_locations
from dagster_module_builder.fragment_rules.snippet import refused_in_snippet
from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import compose, dockerfile, env_file, workspace_yaml
from dagster_module_builder.shared_files.formats.outline import OutlineError, outline_of

#: A module with more refused settings cannot be allowed any: nobody would read the list.
MOST_REFUSED = 200


@dataclass(frozen=True)
class Judged:
    """What the rules say of a module's fragments.

    Attributes:
        refused: The settings that a person has to allow, by file and line.
        paths: The paths of the module that its fragments have Docker read: a link there must not lead out of it.
        owner: The module, as its fragments name it.
    """

    refused: tuple[Refused, ...]
    paths: tuple[OwnPath, ...]
    owner: Owner


def judge(name: str, fragments: Mapping[str, bytes], around: Surroundings = NOTHING_AROUND) -> Judged:
    """Look at a module's fragments.

    Args:
        name: The module's name.
        fragments: Its fragments, by the shared file that they are for.
        around: What of the workspace they could take.

    Raises:
        OutlineError: A YAML fragment cannot be read, or there is too much to list.
    """
    owner = owner_of(name, fragments)
    found = list(islice(_refused(owner, fragments, around), MOST_REFUSED + 1))
    if len(found) > MOST_REFUSED:
        raise OutlineError(0, f"more than {MOST_REFUSED} settings that a module may not have by itself")
    in_order = sorted(found, key=lambda one: (one.file, one.line))
    return Judged(tuple(dict.fromkeys(in_order)), tuple(dict.fromkeys(owner.paths)), owner)


def _refused(owner: Owner, fragments: Mapping[str, bytes], around: Surroundings) -> Iterator[Refused]:
    yield from refused_locations(owner, fragments.get(workspace_yaml.NAME, b""))
    yield from refused_settings_of_env(owner.name, fragments.get(env_file.NAME, b""), around)
    if text := fragments.get(compose.NAME):
        outline = outline_of(split_lines(text))
        yield from refused_in_compose(owner, text)
        yield from refused_anchors(outline, around)
        yield from refused_variables(outline, owner, around)
    yield from refused_in_snippet(owner, fragments.get(dockerfile.NAME, b""))

"""A mount that a service of a Compose file gets, as an edit of the owner's text."""

from __future__ import annotations

import yaml

from dagster_module_builder.adoption.command_text import Edit, Source, UneditableError
from dagster_module_builder.adoption.model import Place
from dagster_module_builder.adoption.written_commands import service_node, value_of


def mounted(source: Source, service: str, entry: str) -> Edit:
    """Return the edit that gives a service a mount.

    Args:
        source: The Compose file that defines the service.
        service: The service.
        entry: The mount, in the short form.

    Raises:
        UneditableError: The service is written in a way that takes no lines.
    """
    definition = service_node(source, service)
    if definition is None or definition.flow_style or not definition.value:
        raise UneditableError(f"{service} is written in a way that takes no lines", Place(source.path))
    volumes = value_of(definition, "volumes")
    if volumes is None:
        return _new_key(source, definition, entry)
    if not isinstance(volumes, yaml.SequenceNode) or not volumes.value:
        place = Place(source.path, source.line(volumes.start_mark.index))
        raise UneditableError(f"the volumes of {service} are no list that takes an entry", place)
    return _new_item(source, volumes, entry)


def _new_key(source: Source, definition: yaml.MappingNode, entry: str) -> Edit:
    start = definition.value[0][0].start_mark.index
    indent, ending = _indent(source, start), _ending(source)
    return Edit(source, start, start, f"volumes:{ending}{indent}  - {entry}{ending}{indent}")


def _new_item(source: Source, volumes: yaml.SequenceNode, entry: str) -> Edit:
    first = volumes.value[0].start_mark.index
    if volumes.flow_style:
        return Edit(source, first, first, f'"{entry}", ')
    dash = source.text.rindex("-", 0, first)
    return Edit(source, dash, dash, f"- {entry}{_ending(source)}{_indent(source, dash)}")


def _indent(source: Source, position: int) -> str:
    indent = source.text[source.text.rfind("\n", 0, position) + 1 : position]
    if indent.strip():
        raise UneditableError("it is written in a way that takes no lines", Place(source.path, source.line(position)))
    return indent


def _ending(source: Source) -> str:
    return "\r\n" if "\r\n" in source.text else "\n"

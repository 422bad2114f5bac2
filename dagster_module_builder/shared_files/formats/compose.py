"""``docker-compose.yml``: a module's services and volumes, and its settings for every service that runs code.

The format is the Compose specification's (https://github.com/compose-spec/compose-spec/blob/main/spec.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from dagster_module_builder.shared_files.blocks import split_lines
from dagster_module_builder.shared_files.formats import yaml_text
from dagster_module_builder.shared_files.formats.outline import Key, Outline, UnsafeEditError, outline_of
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.yaml_file import YamlFile
from dagster_module_builder.shared_files.formats.yaml_nodes import is_empty

NAME = "docker-compose.yml"
FILE = YamlFile(NAME)

#: A fragment's extension key: its settings are merged into every service that runs code.
CODE_KEY = "x-dagster-code"
_NOT_MERGED = {CODE_KEY, "version", "name"}


def contributions(fragment: bytes, code_services: Sequence[str]) -> list[Contribution]:
    """Return what a fragment contributes to the compose file.

    Args:
        fragment: The module's ``workspace/local/docker-compose.yml``.
        code_services: The compose file's services that run code.

    Raises:
        UnsafeEditError: The fragment cannot be read.
    """
    outline = outline_of(split_lines(fragment))
    outline.refuse_repeated()
    result: list[Contribution] = []
    for name in outline.children(()):
        key = outline.find((name,))
        if key and name not in _NOT_MERGED and not is_empty(key.value):
            result.append(Contribution((name,), mapping=children_text(outline, key)))
    return [*result, *_for_code(outline, code_services)]


def _for_code(outline: Outline, code_services: Sequence[str]) -> list[Contribution]:
    result: list[Contribution] = []
    for name in outline.children((CODE_KEY,)):
        key = outline.find((CODE_KEY, name))
        if key is None or is_empty(key.value):
            continue
        text = children_text(outline, key)
        is_list = isinstance(key.value, yaml.SequenceNode)
        mapping = None if is_list else text
        items = text if is_list else _as_items(name, yaml_text.parsed(b"\n".join(text)))
        result.extend(Contribution(("services", service, name), mapping, items) for service in code_services)
    return result


def children_text(outline: Outline, key: Key) -> tuple[bytes, ...]:
    """Return the lines of a key's value, without their indentation.

    Raises:
        UnsafeEditError: The value is not a mapping or list in block style.
    """
    node = key.value
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value or outline.is_shared(key):
        raise UnsafeEditError(key.line, f"'{'.'.join(key.path)}' must be a mapping or a list in block style")
    column = outline.column(node)
    end = outline.after(outline.last_line(node), max(column, key.column + 1))
    lines = [line.rstrip(b"\r\n") for line in outline.own[key.line + 1 : end]]
    return tuple(line[column:] if not line[:column].strip() else line.lstrip() for line in lines)


def _as_items(name: str, mapping: Mapping[str, Any]) -> tuple[bytes, ...]:
    if name == "depends_on":
        return tuple(f"- {service}".encode() for service in mapping)
    # In a mapping, null means the host's value, and true the text "true"; the items mean the same.
    texts = (
        variable if value is None else f"{variable}={str(value).lower() if isinstance(value, bool) else value}"
        for variable, value in mapping.items()
    )
    return tuple(f"- {json.dumps(text, ensure_ascii=False)}".encode() for text in texts)

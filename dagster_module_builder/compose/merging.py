"""Merging Compose files: how a later file changes what an earlier one says.

The rules are Compose's (https://docs.docker.com/reference/compose-file/merge/): mappings merge, sequences append, a few
keys replace, and the entries of some sequences are unique by a part of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from dagster_module_builder.compose.short_form import clean_path, parts_of

#: A place in a project: ``("services", "web", "ports")``. In a pattern, ``*`` is any key.
Keys = tuple[str, ...]

_REPLACED: tuple[Keys, ...] = (
    ("services", "*", "command"),
    ("services", "*", "entrypoint"),
    ("services", "*", "healthcheck", "test"),
)
_AS_MAPPINGS: tuple[Keys, ...] = (
    ("services", "*", "depends_on"),
    ("services", "*", "networks"),
    ("services", "*", "build"),
)
#: Lists of ``NAME=value`` or mappings, and single values or lists: both become lists, which append.
_AS_LISTS: tuple[Keys, ...] = (
    ("services", "*", "environment"),
    ("services", "*", "labels"),
    ("services", "*", "annotations"),
    ("services", "*", "sysctls"),
    ("services", "*", "extra_hosts"),
    ("services", "*", "env_file"),
    ("services", "*", "tmpfs"),
    ("services", "*", "dns"),
    ("services", "*", "dns_opt"),
    ("services", "*", "dns_search"),
    ("services", "*", "build", "args"),
    ("services", "*", "build", "labels"),
    ("services", "*", "build", "additional_contexts"),
    ("services", "*", "build", "extra_hosts"),
    ("services", "*", "deploy", "labels"),
    ("networks", "*", "labels"),
    ("volumes", "*", "labels"),
)


@dataclass(frozen=True)
class Tagged:
    """A value with one of Compose's tags: ``!reset`` removes what is below it, ``!override`` replaces it."""

    tag: str
    value: Any


class Loader(yaml.CSafeLoader):
    """Keeps Compose's tags ``!reset`` and ``!override``; ignores others."""


def _tagged(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        value: Any = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_scalar(node)
    return Tagged(suffix, value) if suffix in {"reset", "override"} else value


Loader.add_multi_constructor("!", _tagged)


def merged(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    """Return a project after another file was merged into it; its tags are carried out."""
    return _unique(_merged_mappings(earlier, later, ()), ())  # type: ignore[no-any-return]


def merged_services(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a service that extends another one, by the same rules."""
    keys = ("services", "*")
    return _unique(_merged_mappings(base, own, keys), keys)  # type: ignore[no-any-return]


def _merged_mappings(earlier: Mapping[str, Any], later: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    result = {str(key): value for key, value in earlier.items()}
    for name, value in later.items():
        key = str(name)
        if isinstance(value, Tagged):
            result.pop(key, None)
            if value.tag == "override":
                result[key] = without_tags(value.value)
        elif key in result:
            result[key] = _merged(result[key], value, (*keys, key))
        else:
            result[key] = without_tags(value)
    return result


def _merged(earlier: Any, later: Any, keys: Keys) -> Any:
    if earlier is None or _matches(keys, _REPLACED):
        return without_tags(later)
    if later is None:
        return earlier
    if _matches(keys, _AS_MAPPINGS):
        earlier, later = _mapping(earlier, keys), _mapping(later, keys)
    elif _matches(keys, _AS_LISTS):
        gone = _reset_names(later)
        earlier, later = [entry for entry in _sequence(earlier) if _name(entry) not in gone], _sequence(later)
    if isinstance(earlier, Mapping) and isinstance(later, Mapping):
        return _merged_mappings(earlier, later, keys)
    if isinstance(earlier, list) and isinstance(later, list):
        return [*earlier, *without_tags(later)]
    return without_tags(later)


def without_tags(value: Any) -> Any:
    """Return a value in which nothing is marked any more; what is reset is gone."""
    if isinstance(value, Tagged):
        return None if value.tag == "reset" else without_tags(value.value)
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if not (isinstance(item, Tagged) and item.tag == "reset")}
        return {str(key): without_tags(item) for key, item in kept.items()}
    return [without_tags(item) for item in value] if isinstance(value, list) else value


def _matches(keys: Keys, patterns: tuple[Keys, ...]) -> bool:
    return any(
        len(pattern) == len(keys) and all(part in {"*", key} for part, key in zip(pattern, keys, strict=True))
        for pattern in patterns
    )


def _mapping(value: Any, keys: Keys) -> Any:
    if isinstance(value, list):
        return {str(name): {"condition": "service_started"} if keys[-1] == "depends_on" else None for name in value}
    return {"context": value} if isinstance(value, str) and keys[-1] == "build" else value


def _reset_names(value: Any) -> set[object]:
    items = value.items() if isinstance(value, Mapping) else ()
    return {str(key) for key, item in items if isinstance(item, Tagged) and item.tag == "reset"}


def _sequence(value: Any) -> Any:
    if isinstance(value, Mapping):
        value = without_tags(value)
        return [str(key) if item is None else f"{key}={_scalar(item)}" for key, item in value.items()]
    return value if isinstance(value, list) else [value]


def _scalar(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _name(entry: Any) -> object:
    return re.split(r"[=:]", str(entry), maxsplit=1)[0] if isinstance(entry, str) else str(entry)


def _env_file(entry: Any) -> object:
    return str(entry.get("path") if isinstance(entry, Mapping) else entry)


def _volume(entry: Any) -> object:
    if isinstance(entry, Mapping):
        return clean_path(str(entry.get("target")))
    parts = parts_of(str(entry))
    return clean_path(parts[0] if len(parts) == 1 else parts[1])


def _granted(entry: Any) -> object:
    return str(entry.get("target") or f"/{entry.get('source')}") if isinstance(entry, Mapping) else f"/{entry}"


def _port(entry: Any) -> object:
    if isinstance(entry, Mapping):
        named = tuple(str(entry.get(key) or "") for key in ("host_ip", "published", "target"))
        return (*named, str(entry.get("protocol") or "tcp"))
    text, _, protocol = str(entry).partition("/")
    parts = ["", "", *parts_of(text)]
    return (*parts[-3:], protocol or "tcp") if len(parts) > 3 else ("", "", parts[-1], protocol or "tcp")


def _itself(entry: Any) -> object:
    return str(entry)


_UNIQUE: dict[Keys, Callable[[Any], object]] = {
    **dict.fromkeys(_AS_LISTS, _name),
    ("services", "*", "env_file"): _env_file,
    ("services", "*", "dns"): _itself,
    ("services", "*", "dns_opt"): _itself,
    ("services", "*", "dns_search"): _itself,
    ("services", "*", "tmpfs"): _itself,
    ("services", "*", "volumes"): _volume,
    ("services", "*", "devices"): _volume,
    ("services", "*", "ports"): _port,
    ("services", "*", "expose"): _itself,
    ("services", "*", "profiles"): _itself,
    ("services", "*", "cap_add"): _itself,
    ("services", "*", "cap_drop"): _itself,
    ("services", "*", "security_opt"): _itself,
    ("services", "*", "configs"): _granted,
    ("services", "*", "secrets"): _granted,
}


def _unique(value: Any, keys: Keys) -> Any:
    """Return a value without entries that a later one of the same list replaces."""
    if isinstance(value, Mapping):
        return {key: _unique(item, (*keys, key)) for key, item in value.items()} if len(keys) < 4 else value
    if not isinstance(value, list):
        return value
    key_of = next((function for pattern, function in _UNIQUE.items() if _matches(keys, (pattern,))), None)
    return list({key_of(entry): entry for entry in value}.values()) if key_of else value

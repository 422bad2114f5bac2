"""Redacting a YAML file: keys, structure, and values with the harmless shape of their key are shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from dagster_module_builder.disclosure import words
from dagster_module_builder.disclosure.redacted_text import RedactedText
from dagster_module_builder.disclosure.values import (
    HOST,
    IMAGE,
    NAME,
    PATH,
    PATHS,
    URL,
    has_shape,
    is_harmless_setting,
    is_secret_name,
)

_PORTS = r"(?:(?:\d{1,3}(?:\.\d{1,3}){3}|localhost):)?[\d-]{1,11}(?::[\d-]{1,11})?(?:/(?:tcp|udp))?"
_NOTHING = r"(?!)"
_OWNER = r"\w{1,32}(?::\w{1,32})?"
_CODE = r"[A-Za-z_]\w{0,60}(?:\.[A-Za-z_]\w{0,60})*"
#: The shape of harmless values, by their key.
_SHAPES = {
    **dict.fromkeys(("image", "python_image"), IMAGE),
    **dict.fromkeys(
        (
            "name", "container_name", "hostname", "service", "services", "networks", "network", "depends_on",
            "condition", "restart", "driver", "type", "profiles", "pull_policy", "project", "location_name",
            "attribute", "network_mode", "cap_drop", "cap_add", "external", "strategy", "deployment", "kind",
            "module_name", "package_name", "mode", "schema", "scheme", "target", "extends", "needs", "runs-on",
            "stage", "carries_out", "platform", "environment_name", "db_name", "branch",
        ),
        rf"{NAME}|postgresql\+psycopg2?|no-new-privileges:true|linux/\w+",
    ),
    **dict.fromkeys(("module", "class"), _CODE + rf"|{NAME}"),
    **dict.fromkeys(
        (
            "context", "dockerfile", "source", "target", "working_dir", "working_directory", "file",
            "env_file", "python_file", "executable_path", "base_dir", "path", "folder", "storage",
            "base_path", "base_inside", "relative_path", "tmpfs", "bind", "dagster_home", "python",
            "known_hosts",
        ),
        PATH,
    ),
    "volumes": PATHS,
    **dict.fromkeys(("ports", "expose", "port", "published"), _PORTS),
    **dict.fromkeys(("host", "hosts", "ip"), HOST),
    **dict.fromkeys(("user", "group_add"), _OWNER),
    "url": URL,
    "env": r"[A-Z][A-Z0-9_]*",
    "env_vars": r"[A-Z][A-Z0-9_]*",
}  # fmt: skip
#: Keys of mappings with variables, whose names are free.
_SETTINGS = frozenset((
    "environment", "args", "build_args", "labels", "annotations", "env", "variables", "env_vars",
    "config_vars", "sysctls", "secrets", "headers", "options", "logging", "driver_opts", "with",
    "extra_hosts", "credentials", "params",
))  # fmt: skip
#: Keys whose values are commands.
_COMMANDS = frozenset({"command", "entrypoint", "test", "run", "script", "before_script", "args_list"})
_KEY = re.compile(r"(?:x-)?[\w./@${}-]{1,80}|<<|\*")
#: Tags of Compose and GitLab.
_TAGS = frozenset({"reset", "override", "reference"})
#: Keys of mappings with freely chosen names, which say nothing about their values.
_NAMED = frozenset({"services", "volumes", "networks", "depends_on", "jobs"})
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_PLAIN_KEY = re.compile(r"(?m)^[ \t]*(?:-[ \t]+)*(?:[A-Za-z_][\w.-]{0,60}:(?=[ \t]|$))?")

_Path = tuple[str, ...]


def show(redacted: RedactedText) -> None:
    """Show what is harmless in a YAML file; only keys if the file is not valid YAML."""
    try:
        root = yaml.compose(redacted.text, Loader=yaml.CSafeLoader)
        tokens = list(yaml.scan(redacted.text, Loader=yaml.CSafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError):
        for match in _PLAIN_KEY.finditer(redacted.text):
            redacted.show(match.start(), match.end())
        return
    aliases = {token.value for token in tokens if isinstance(token, yaml.AliasToken)}
    for token in tokens:
        if not isinstance(token, yaml.ScalarToken):
            redacted.show(token.start_mark.index, token.end_mark.index)
    for node, path in _scalars(root, (), set()):
        _show_scalar(redacted, node, path)
    for token in tokens:
        # A password without quotes that begins with "!" or "&" is a tag or an anchor to YAML.
        unknown = isinstance(token, yaml.TagToken) and token.value[1] not in _TAGS
        if unknown or (isinstance(token, yaml.AnchorToken) and token.value not in aliases):
            redacted.hide(token.start_mark.index, token.end_mark.index)


def _scalars(node: yaml.Node | None, path: _Path, seen: set[int]) -> Iterator[tuple[yaml.ScalarNode, _Path | None]]:
    """Yield every value with its path of keys, and every key with None."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            # After a comma in a flow mapping, a key without a value is the rest of the preceding value.
            if isinstance(key, yaml.ScalarNode) and not (node.flow_style and _is_empty(value)):
                yield key, None
            yield from _scalars(value, (*path, str(key.value)), seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item, path, seen)
    elif isinstance(node, yaml.ScalarNode):
        yield node, path


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.start_mark.index == node.end_mark.index


def _show_scalar(redacted: RedactedText, node: yaml.ScalarNode, path: _Path | None) -> None:
    start, end = node.start_mark.index, node.end_mark.index
    text = str(node.value)
    if path is None:
        if _KEY.fullmatch(text):
            redacted.show(start, end)
        return
    name = next((key for key in reversed(path) if not key.isdigit()), "")
    if len(path) > 2 and is_secret_name(path[-2]) and path[-3] not in _NAMED:
        name = path[-2]
    if any(key in _COMMANDS for key in path[-2:]) and not is_secret_name(name):
        words.show(redacted, start, end)
    elif _is_setting(path):
        _show_setting(redacted, start, end, name, text)
    elif is_harmless_setting(name, text) or (not is_secret_name(name) and has_shape(text, _SHAPES.get(name, _NOTHING))):
        redacted.show(start, end)


def _is_setting(path: _Path) -> bool:
    """Return whether a value is that of a variable: below a key of settings, or of an extension (``x-``)."""
    return any(key in _SETTINGS or (key.startswith("x-") and key != "x-dagster-code") for key in path[:-1]) or (
        bool(path) and path[-1] in _SETTINGS
    )


def _show_setting(redacted: RedactedText, start: int, end: int, name: str, text: str) -> None:
    assigned = _ASSIGNED.fullmatch(text)
    if assigned is None:
        shape = _SHAPES["env"] if name in {"env", "env_vars", "environment", "args"} else _NOTHING
        if re.fullmatch(shape, text) or is_harmless_setting(name, text):
            redacted.show(start, end)
        return
    if is_harmless_setting(assigned[1], assigned[2]):
        redacted.show(start, end)
    else:
        at = redacted.text.find(f"{assigned[1]}=", start, end)
        redacted.show(at, at + len(assigned[1]) + 1)

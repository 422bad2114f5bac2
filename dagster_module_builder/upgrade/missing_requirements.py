"""Declare missing requirements where a project states the others."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.modules import legacy_requirements
from dagster_module_builder.modules.poetry_requirements import poetry_requirements
from dagster_module_builder.modules.stating import lines_of, stated_in, stating_of
from dagster_module_builder.shared_files.formats import toml_text
from dagster_module_builder.upgrade.requirements_table import lacking, not_among, with_requirements
from dagster_module_builder.upgrade.setup_files import with_configured_requires, with_install_requires

_PYPROJECT = "pyproject.toml"
_TABLE = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = [
{listed}]
"""


@dataclass
class Declared:
    """The changed files, notes about them, and what has to be done by hand."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)


def declare(audited: AuditedModule, wanted: Sequence[str]) -> Declared:
    """Return the files in which a module declares what it needs.

    Args:
        audited: The module.
        wanted: What it needs beside its own requirements.
    """
    stating = stating_of(audited.path)
    if stating.kind == "setup":
        return _in_setup_files(audited, wanted)
    if stating.kind in {"none", "requirements"}:
        return _in_new_table(audited, wanted)
    if stating.kind == "file":
        return _in_requirements_file(audited, stating.file, wanted)
    text = audited.text_of(audited.path / _PYPROJECT)
    if stating.kind == "poetry":
        missing = not_among(poetry_requirements(audited.pyproject)[0], wanted)
        return _changed(_PYPROJECT, text, _with_poetry(text, missing), missing, "[tool.poetry.dependencies]")
    missing = lacking(text, wanted)
    if stating.kind == "computed":
        found = _by_hand(missing, "those of pyproject.toml")
        found.by_hand.append("pyproject.toml computes its requirements, so images cannot install them. List them.")
        return found
    changed = with_requirements(text, missing) if missing and stating.kind == "project" else None
    return _changed(_PYPROJECT, text, changed, missing, "the dependencies in pyproject.toml")


def _changed(name: str, before: str, after: str | None, missing: Sequence[str], where: str) -> Declared:
    if after is not None and missing:
        return Declared({name: after.encode()} if after != before else {})
    return _by_hand(missing, where)


def _by_hand(missing: Sequence[str], where: str) -> Declared:
    lines = "\n".join(f'    "{requirement}",' for requirement in missing)
    return Declared(by_hand=[f"Add these requirements to {where}:\n{lines}"] if missing else [])


def _in_new_table(audited: AuditedModule, wanted: Sequence[str]) -> Declared:
    """Write a table ``[project]`` with what ``requirements.txt`` lists, if there is one."""
    stating = stating_of(audited.path)
    listed = list(stated_in(audited.path, stating))
    needed = [*listed, *not_among(listed, ["dagster", *wanted])]
    lines = "".join(f"    {json.dumps(requirement)},\n" for requirement in needed)
    name = audited.names.snake.replace("_", "-")
    existing = audited.text_of(audited.path / _PYPROJECT)
    table = _TABLE.format(name=name, listed=lines)
    text = f"{existing.rstrip()}\n\n{table}" if existing.strip() else table
    declared = Declared({_PYPROJECT: text.encode()})
    if stating.kind == "requirements":
        others = lines_of(audited.path, stating.file)[1]
        declared.notes.append(f"pyproject.toml lists what {stating.file} lists; images install the former.")
        declared.by_hand += [f"{stating.file} has '{line}', which pyproject.toml cannot say." for line in others]
    return declared


def _in_requirements_file(audited: AuditedModule, name: str, wanted: Sequence[str]) -> Declared:
    before = audited.text_of(audited.path / name)
    missing = not_among(lines_of(audited.path, name)[0], wanted)
    newline = "\r\n" if "\r\n" in before else "\n"
    head = before if before.endswith("\n") or not before else before + newline
    return _changed(name, before, head + "".join(f"{one}{newline}" for one in missing), missing, name)


#: Poetry's table up to the next one.
_POETRY = re.compile(r"^\[tool\.poetry\.dependencies\][ \t]*(?:#[^\n]*)?\r?\n(?:(?!\[)[^\n]*(?:\n|\Z))*", re.MULTILINE)


def _with_poetry(text: str, wanted: Sequence[str]) -> str | None:
    """Append requirements to Poetry's table; None if that cannot be done safely."""
    table = _POETRY.search(text)
    if table is None:
        return None
    end = table.start() + len(table[0].rstrip())
    newline = "\r\n" if "\r\n" in table[0] else "\n"
    pairs = [re.match(r"([\w.-]+)(.*)", requirement) for requirement in wanted]
    lines = "".join(f'{newline}{pair[1]} = "{pair[2].strip() or "*"}"' for pair in pairs if pair)
    changed = text[:end] + lines + text[end:]
    # The text search can be wrong; accept a change only if parsing it gives the expected requirements.
    return changed if _is_only_added(text, changed, wanted) else None


def _is_only_added(before: str, after: str, wanted: Sequence[str]) -> bool:
    try:
        old, new = (poetry_requirements(toml_text.parsed(text)) for text in (before, after))
    except ValueError:
        return False
    return new == ([*old[0], *wanted], old[1])


def _in_setup_files(audited: AuditedModule, wanted: Sequence[str]) -> Declared:
    """Change ``setup.cfg`` if it declares requirements or there is no ``setup.py``, else ``setup.py``."""
    setup_py, setup_cfg = legacy_requirements.SETUP_PY, legacy_requirements.SETUP_CFG
    texts = {name: audited.bytes_of(audited.path / name) for name in (setup_py, setup_cfg)}
    missing = not_among(legacy_requirements.old_requirements(*texts.values()) or [], wanted)
    if not missing:
        return Declared()
    configured = bool(legacy_requirements.config_requirements(texts[setup_cfg])) or not texts[setup_py]
    name = setup_cfg if configured else setup_py
    changed = (with_configured_requires if configured else with_install_requires)(texts[name], missing)
    if changed is None:
        return _by_hand(missing, f"install_requires in {name}, whose structure is not supported")
    return Declared({name: changed})

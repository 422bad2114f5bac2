"""Declare missing requirements in ``pyproject.toml``, ``setup.py`` or ``setup.cfg``."""

from __future__ import annotations

from collections.abc import Sequence

from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.modules import legacy_requirements
from dagster_module_builder.modules.code_location import table
from dagster_module_builder.upgrade.requirements_table import lacking, not_among, with_requirements
from dagster_module_builder.upgrade.setup_files import with_configured_requires, with_install_requires

_PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.10"
dependencies = [
    "dagster",
]
"""


def declare(audited: AuditedModule, wanted: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the changed files by name, and notes about requirements to add by hand."""
    if legacy_requirements.is_old(audited.path):
        return _in_setup_files(audited, wanted)
    path = audited.path / "pyproject.toml"
    if not path.is_file():
        text = _PYPROJECT.format(name=audited.names.snake.replace("_", "-"))
        return {"pyproject.toml": (with_requirements(text, wanted) or text).encode()}, []
    if not table(audited.pyproject, "project"):
        return _by_hand(wanted, "the dependencies in [project] of pyproject.toml")
    text = audited.bytes_of(path).decode()
    missing = lacking(text, wanted)
    changed = with_requirements(text, missing) if missing else text
    return _by_hand(missing, "pyproject.toml") if changed is None else _changed("pyproject.toml", text, changed)


def _changed(name: str, before: str, after: str) -> tuple[dict[str, bytes], list[str]]:
    return ({name: after.encode()} if after != before else {}), []


def _in_setup_files(audited: AuditedModule, wanted: Sequence[str]) -> tuple[dict[str, bytes], list[str]]:
    """Change ``setup.cfg`` if it declares requirements or there is no ``setup.py``, else ``setup.py``."""
    setup_py, setup_cfg = legacy_requirements.SETUP_PY, legacy_requirements.SETUP_CFG
    texts = {name: audited.bytes_of(audited.path / name) for name in (setup_py, setup_cfg)}
    missing = not_among(legacy_requirements.old_requirements(*texts.values()) or [], wanted)
    if not missing:
        return {}, []
    configured = bool(legacy_requirements.config_requirements(texts[setup_cfg])) or not texts[setup_py]
    name = setup_cfg if configured else setup_py
    changed = (with_configured_requires if configured else with_install_requires)(texts[name], missing)
    if changed is None:
        return _by_hand(missing, f"install_requires in {name}, whose structure is not supported")
    return {name: changed}, []


def _by_hand(wanted: Sequence[str], where: str) -> tuple[dict[str, bytes], list[str]]:
    lines = "\n".join(f'    "{requirement}",' for requirement in wanted)
    return {}, [f"Add these requirements to {where}:\n{lines}"] if wanted else []

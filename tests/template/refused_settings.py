"""What a module's fragments ask for that a person would have to allow."""

from __future__ import annotations

from pathlib import Path

from dagster_module_builder.base import settings
from dagster_module_builder.fragment_rules.rules import judge
from dagster_module_builder.modules.module import FRAGMENT_NAMES


def refused_settings(module: Path) -> list[str]:
    """Return what of a module a person would have to allow."""
    fragments = {file: (module / settings.FRAGMENTS / name).read_bytes() for file, name in FRAGMENT_NAMES.items()}
    return [one.setting for one in judge(module.name, fragments).refused]

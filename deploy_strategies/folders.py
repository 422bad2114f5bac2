"""Finds the strategies: all folders with a ``cookiecutter.json``, here or in a team's own folders."""

from __future__ import annotations

import os
from pathlib import Path

from dagster_module_builder.base.errors import RefusedError

HERE = Path(__file__).parent
SCHEMA = HERE / "deployment.schema.json"
#: Folders of a team's own strategies, separated as in PATH.
VARIABLE = "DAGSTER_MODULE_BUILDER_STRATEGIES"


def _places() -> list[Path]:
    own = os.environ.get(VARIABLE, "")
    return [*(Path(folder).absolute() for folder in own.split(os.pathsep) if folder), HERE]


def names() -> list[str]:
    """Return the names of all strategies."""
    return sorted({path.parent.name for place in _places() for path in place.glob("*/cookiecutter.json")})


def strategy_folder(name: str) -> Path:
    """Return a strategy's folder.

    Raises:
        RefusedError: There is no such strategy.
    """
    for place in _places():
        if name in names() and (place / name / "cookiecutter.json").is_file():
            return place / name
    raise RefusedError(f"Unknown strategy {name!r}. Choose one of {', '.join(names())}.")

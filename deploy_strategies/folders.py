"""Which strategies there are: every folder with a ``cookiecutter.json``, here or where a team keeps its own."""

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
    return [*(Path(one).absolute() for one in own.split(os.pathsep) if one), HERE]


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
    raise RefusedError(f"There is no strategy {name!r}: there are {', '.join(names())}.")

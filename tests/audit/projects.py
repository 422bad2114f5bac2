"""Projects as other tools and other people make them, small."""

from __future__ import annotations

from pathlib import Path

#: As ``create-dagster project`` 1.13 writes it, with one asset; its own pin of Dagster is left to the workspace.
CREATE_DAGSTER = {
    "pyproject.toml": """\
[project]
name = "orders"
requires-python = ">=3.10,<3.15"
version = "0.1.0"
dependencies = [
    "dagster",
]

[dependency-groups]
dev = [
    "dagster-dg-cli",
    "dagster-webserver",
]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
force-include = { "pyproject.toml" = "pyproject.toml" }

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "orders"
registry_modules = [
    "orders.components.*",
]
""",
    "README.md": "# orders\n",
    "src/orders/__init__.py": "",
    "src/orders/definitions.py": """\
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
""",
    "src/orders/defs/__init__.py": "",
    "src/orders/defs/assets.py": """\
import dagster as dg


@dg.asset(key_prefix="orders")
def numbers() -> list[int]:
    return [1, 2, 3]
""",
    "tests/__init__.py": "",
}

#: As ``dagster project scaffold`` 1.13 writes it, with one asset.
SCAFFOLD = {
    "pyproject.toml": """\
[project]
name = "orders"
version = "0.1.0"
description = "Add your description here"
readme = "README.md"
requires-python = ">=3.10,<3.15"
dependencies = [
    "dagster",
]

[project.optional-dependencies]
dev = [
    "dagster-webserver",
    "pytest",
]

[build-system]
requires = ["hatchling>=1.19.0"]
build-backend = "hatchling.build"

[tool.dagster]
module_name = "orders.definitions"
code_location_name = "orders"
""",
    "README.md": "# orders\n",
    "orders/__init__.py": "",
    "orders/assets.py": """\
import dagster as dg


@dg.asset(key_prefix="orders")
def numbers() -> list[int]:
    return [1, 2, 3]
""",
    "orders/definitions.py": """\
from dagster import Definitions, load_assets_from_modules

from orders import assets  # noqa: TID252

all_assets = load_assets_from_modules([assets])

defs = Definitions(
    assets=all_assets,
)
""",
    "orders_tests/__init__.py": "",
    "orders_tests/test_assets.py": "from orders.assets import numbers\n\n\ndef test_numbers():\n    assert numbers()\n",
}

#: As ``dagster project scaffold`` wrote it up to Dagster 1.7, with one asset.
OLD_SCAFFOLD = {
    "setup.py": """\
from setuptools import find_packages, setup

setup(
    name="orders",
    packages=find_packages(exclude=["orders_tests"]),
    install_requires=[
        "dagster",
        "dagster-cloud"
    ],
    extras_require={"dev": ["dagster-webserver", "pytest"]},
)
""",
    "setup.cfg": "[metadata]\nname = orders\n",
    "pyproject.toml": """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[tool.dagster]
module_name = "orders\"""",
    "README.md": "# orders\n",
    "orders/__init__.py": """\
from dagster import Definitions, load_assets_from_modules

from . import assets

all_assets = load_assets_from_modules([assets])

defs = Definitions(
    assets=all_assets,
)
""",
    "orders/assets.py": SCAFFOLD["orders/assets.py"],
    "orders_tests/__init__.py": "",
    "orders_tests/test_assets.py": SCAFFOLD["orders_tests/test_assets.py"],
}

#: What a person wrote in one afternoon.
SINGLE_FILE = {
    "definitions.py": """\
import os

import dagster as dg


@dg.asset(key_prefix="orders")
def numbers() -> list[int]:
    return [int(os.environ["ORDERS_FIRST"]), 2, 3]


defs = dg.Definitions(assets=[numbers])
""",
}

OTHERS = {
    "create-dagster": CREATE_DAGSTER,
    "scaffold": SCAFFOLD,
    "older scaffold": OLD_SCAFFOLD,
    "single file": SINGLE_FILE,
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder

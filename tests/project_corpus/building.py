"""How the projects of the corpus are put together: small files, in the structure of the named repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Files = dict[str, str]


@dataclass(frozen=True)
class Project:
    """A project of the corpus.

    Attributes:
        source: The public repository that has this structure.
        files: Its files.
        needs: What loads it: plain Dagster, packages of other tools, or nothing that can be had.
    """

    source: str
    files: Mapping[str, str]
    needs: Literal["dagster", "integrations", "nothing"] = "dagster"


@dataclass(frozen=True)
class Expected:
    """What has to be found in a project and made of it.

    Attributes:
        shape: What the audit says that it is.
        changed: The files that the upgrade changes, all others stay as they are.
        left: The checks that fail after it, for reasons that only a person can remove.
        by_hand: What the upgrade asks about before it changes anything, each by a part of it.
    """

    shape: str
    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()


def asset(name: str = "numbers", *, head: str = "", body: str = "return [1, 2, 3]", prefix: str = "orders") -> str:
    """Return a file with one asset."""
    return f'import dagster as dg\n{head}\n\n@dg.asset(key_prefix="{prefix}")\ndef {name}():\n    {body}\n'


def defs(assets: str = "", more: str = "", *, head: str = "", name: str = "Definitions") -> str:
    """Return a file that builds definitions of assets from modules: ``defs("orders.assets")``."""
    package, _, module = assets.rpartition(".")
    imported = f"from {package} import {module}\n" if package else f"import {module}\n" if module else ""
    loaded = f"assets=load_assets_from_modules([{module}])" if module else ""
    given = ", ".join(part for part in (loaded, more) if part)
    return f"from dagster import Definitions, load_assets_from_modules\n{head}{imported}\ndefs = {name}({given})\n"


FROM_FOLDER = """\
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


def pyproject(name: str = "orders", more: str = "", requirements: tuple[str, ...] = ("dagster",)) -> str:
    """Return a ``pyproject.toml`` with ``[project]`` and other tables."""
    listed = "".join(f'    "{one}",\n' for one in requirements)
    head = f'[project]\nname = "{name}"\nversion = "0.1.0"\nrequires-python = ">=3.10"\n'
    return f"{head}dependencies = [\n{listed}]\n\n{more}"


def dg_project(root: str, more: str = "") -> str:
    """Return a ``pyproject.toml`` as dg has it."""
    settings = f'[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "{root}"\n{more}'
    return pyproject(root, settings)


def scaffold(module: str) -> str:
    """Return a ``pyproject.toml`` that names the module to load."""
    return pyproject(more=f'[tool.dagster]\nmodule_name = "{module}"\n')


def poetry(name: str = "orders", dagster: str = "^1.9") -> str:
    """Return a ``pyproject.toml`` of Poetry's first kind."""
    return (
        f'[tool.poetry]\nname = "{name}"\nversion = "0.1.0"\ndescription = ""\nauthors = []\n\n'
        f'[tool.poetry.dependencies]\npython = ">=3.10,<3.14"\ndagster = "{dagster}"\n'
    )


def setup_py(*requirements: str) -> str:
    """Return a ``setup.py`` with a plain list."""
    listed = "".join(f'        "{one}",\n' for one in requirements)
    return (
        "from setuptools import find_packages, setup\n\nsetup(\n    name='orders',\n    packages=find_packages(),\n"
        f"    install_requires=[\n{listed}    ],\n)\n"
    )


def packages(*folders: str) -> Files:
    """Return an empty ``__init__.py`` for each folder."""
    return {f"{folder}/__init__.py": "" for folder in folders}


def workspace(*entries: str) -> str:
    """Return a project's own workspace file: ``workspace("python_file: repo.py")``."""
    return "load_from:\n" + "".join(f"  - {entry}\n" for entry in entries)

"""A workspace for upgrades, and templates of other days: copies of this one with something changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.modules.module import record_of
from dagster_module_builder.templating import template_folders
from dagster_module_builder.templating.template_folders import MODULE_TEMPLATE
from dagster_module_builder.upgrade import proposal
from dagster_module_builder.upgrade.rendering import Rendering, rendering
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.new import new
from tests.in_memory import tmp_path
from tests.template.rendering import TEMPLATE, checkout
from tests.upgrade.module_files import TODAY, Change

__all__ = ["tmp_path"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("upgraded") / "workspace"
    initialize(root, {})
    new(root, "sales", {"database": "postgresql"})
    return root


@pytest.fixture
def root(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "workspace", symlinks=True))


@pytest.fixture
def module(root: Path) -> Path:
    return root / "projects" / "sales"


@pytest.fixture(scope="session")
def today(made: Path) -> Rendering:
    return rendering(made, record_of(made / "projects" / "sales")["answers"])


@pytest.fixture
def fixed(today: Rendering, monkeypatch: pytest.MonkeyPatch) -> Rendering:
    """A rendering that changes, adds and removes files, and meets a conflict in one."""
    tree = dict(today.tree)
    tree["README.md"] = FileContent(tree["README.md"].content.replace(b"## Run it", b"## Run it tomorrow"))
    tree["new/folder/file.md"] = FileContent(b"new\n", executable=True)
    tree["pyproject.toml"] = FileContent(tree["pyproject.toml"].content + b"# tomorrow\n", executable=True)
    del tree["TROUBLESHOOTING.md"]
    found = Rendering(tree, today.record.replace(TODAY.encode(), b"1.3.0"))
    monkeypatch.setattr(proposal, "rendering", lambda *_: found)
    return found


@pytest.fixture
def tomorrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], Path]:
    """Let the template be another one from now on: a copy of today's, changed, with the version 1.3.0."""

    def make(change: Change) -> Path:
        template = checkout(tmp_path / "checkout")
        (template / "VERSION").write_text("1.3.0\n")
        change(template)
        candidates = template_folders.candidates
        monkeypatch.setattr(
            template_folders, "candidates", lambda name: [template] if name == MODULE_TEMPLATE else candidates(name)
        )
        return template

    assert TEMPLATE.is_dir()
    return make

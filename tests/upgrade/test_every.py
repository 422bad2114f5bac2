"""``upgrade --all``: many modules, whose renderings are made by several processes at once."""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.modules.record import read_record
from dagster_module_builder.upgrade import proposal, run
from dagster_module_builder.upgrade.every import upgrade_each
from dagster_module_builder.upgrade.rendering import Prepared, Rendering, prepared_template, rendering
from tests.audit.projects import SINGLE_FILE, write
from tests.upgrade.module_files import files_of


def test_modules_are_rendered_by_other_processes_and_upgraded_in_their_order(
    root: Path, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS P17: this process, which writes, renders nothing; where one module fails, the others go on."""
    (module / "tests/test_assets.py").unlink()
    for name in ("north", "south"):
        shutil.copytree(module, root / "projects" / name)
    (root / "projects/north/.dagster-module.json").write_text("{")
    write(root / "projects/orders", SINGLE_FILE)
    record = root / "projects/south/.dagster-module.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"template_version": "0.9.0"}))

    def refused(*_: object) -> Rendering:
        pytest.fail("rendered here")

    monkeypatch.setattr(proposal, "rendering", refused)
    seen: list[tuple[int, str]] = []
    names = ["north", "orders", "sales", "south"]
    upgraded = partial(run.upgrade, root)
    found = dict(upgrade_each(root, names, upgraded, lambda done, name: seen.append((done, name))))
    assert seen == list(enumerate(names))
    assert isinstance(found["north"], BuilderError)
    changes = {name: one.changes for name, one in found.items() if not isinstance(one, BuilderError)}
    assert changes == {"orders": True, "sales": False, "south": True}
    assert (root / "projects/orders/storage.py").is_file()


def test_a_template_is_prepared_and_compiled_once_for_all_modules(
    root: Path, today: Rendering, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS P17: neither its first hook nor Jinja's compiler runs for the second module, which comes out the same."""
    answers = json.loads(today.record)["answers"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache = tmp_path / "cache/dagster-module-builder/templates"
    with prepared_template(root) as template:
        assert not list(template.glob("hooks/pre_prompt.*"))
        assert rendering(root, answers, template).tree == today.tree
        compiled = {path: path.read_bytes() for path in cache.iterdir()}
        assert len(compiled) > 30
        # Whatever is compiled once more is written once more.
        for path in compiled:
            os.utime(path, (0, 0))
        assert rendering(root, {**answers, "title": "Another"}, template).tree.keys() == today.tree.keys()
    with prepared_template(root) as template:
        assert rendering(root, answers, template).tree == today.tree
    assert {path.stat().st_mtime for path in cache.iterdir()} == {0}


def test_a_rendering_of_other_answers_is_not_taken(root: Path, module: Path, fixed: Rendering) -> None:
    """FAULTS P17: a record that changed meanwhile is rendered again."""
    record = read_record(module)
    assert record is not None
    stale = Prepared(record.with_answers({"title": "Other"}, ()), Rendering({}, fixed.record))
    assert run.upgrade(root, "sales", prepared=stale).changes
    assert "README.md" in files_of(module)
    assert (module / "new/folder/file.md").is_file()

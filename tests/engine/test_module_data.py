"""What modules stored is deleted last, wholly, and as often as it is said."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.workspaces import module_data
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from dagster_module_builder.workspaces.sync import sync
from tests.engine.folders import FIRST_PORT, fragments, make_module, make_workspace, shared

OUT = b"    volumes:\n      - ../../data/out:/out\n"
#: What changes the disk, by the names of Python's audit events.
EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "shutil.rmtree", "subprocess.Popen"}


def storing(name: str) -> bytes:
    return fragments(name, FIRST_PORT)["docker-compose.yml"].replace(b"    volumes:\n", OUT, 1)


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """Give a workspace with a module that has stored assets and exports, some in a folder that is read-only."""
    root = make_workspace(tmp_path / "start")
    make_module(root, "seo", compose=storing("seo"))
    add_module(root, "seo")
    for folder in ("data/out/monthly", "data/storage/seo", "data/storage/other"):
        (root / folder).mkdir(parents=True)
        (root / folder / "rows").write_text("rows")
    (root / "data/out/monthly").chmod(0o555)
    return root


def remove_with_data(root: Path) -> None:
    """Do what ``workspace.remove seo --delete-data --yes`` does."""
    data = module_data.data_of(root, "seo")
    if data.integrated:
        remove_module(root, "seo")
    list(module_data.delete(root, data))


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Do something in a process that is killed at its N-th change of the disk; tell whether it got there."""

    def run() -> None:
        left = number

        def hook(event: str, _: object) -> None:
            nonlocal left
            left -= event in EVENTS
            if event in EVENTS and not left:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work()

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def test_a_deletion_can_be_cut_off_anywhere_and_said_again(stored: Path, tmp_path: Path) -> None:
    """FAULTS B7: killed at any change of the disk, also with the blocks gone already; said again, all goes."""
    before = shared(make_workspace(tmp_path / "without"))
    for number in range(1, 200, 2):
        root = shutil.copytree(stored, tmp_path / "injured", symlinks=True)
        injured = killed_at(number, lambda root=root: remove_with_data(root))  # type: ignore[misc]
        with contextlib.suppress(RefusedError):  # It was killed when all was done.
            remove_with_data(root)
        assert not (root / "data/out").exists(), number
        assert [path.name for path in (root / "data/storage").iterdir()] == ["other"], number
        assert shared(root) == before
        assert "left_behind" not in (root / settings.REGISTRY).read_text()
        shutil.rmtree(root)
        if not injured:
            break
    assert not injured
    assert number > 20


def test_what_a_changed_fragment_no_longer_names_is_remembered(stored: Path) -> None:
    """FAULTS B8: not only modules that are taken out leave data behind."""
    (stored / "projects/seo/workspace/local/docker-compose.yml").unlink()
    sync(stored)
    assert b"seo" not in shared(stored)["docker-compose.yml"]
    (seo,) = (one for one in module_data.every_data(stored) if one.module == "seo")
    assert seo.integrated
    assert stored / "data/out" in seo.folders
    make_module(stored, "seo", compose=storing("seo"))
    sync(stored)
    assert "left_behind" not in (stored / settings.REGISTRY).read_text()


def test_a_pruned_modules_data_is_remembered(stored: Path) -> None:
    """FAULTS B8: the folder of the project is gone, and the data is known."""
    shutil.rmtree(stored / "projects/seo")
    sync(stored, prune=True)
    remove_with_data(stored)
    assert not (stored / "data/out").exists()


def test_data_of_a_module_that_came_back_stays(stored: Path) -> None:
    """FAULTS B8: what is in use again is not what was left behind."""
    data = module_data.data_of(stored, "seo")
    remove_module(stored, "seo")
    add_module(stored, "seo")
    with pytest.raises(RefusedError, match="in the workspace again"):
        list(module_data.delete(stored, data))
    assert (stored / "data/out/monthly/rows").exists()


def test_a_registry_of_an_earlier_version_works(stored: Path) -> None:
    """FAULTS B8: entries without anything but a name; the data is found by the blocks, and remembered from now on."""
    (stored / settings.REGISTRY).write_text('{"integrated_modules": [{"name": "seo"}]}')
    remove_module(stored, "seo", adopting=True)
    assert '"left_behind": {"seo"' in (stored / settings.REGISTRY).read_text()
    remove_with_data(stored)
    assert not (stored / "data/out").exists()
    assert not (stored / "data/storage/seo").exists()


def test_what_a_registry_names_outside_is_never_deleted(stored: Path) -> None:
    """A registry comes from a version control system too: `..` in it leads to no folder that is deleted."""
    remove_module(stored, "seo")
    registry = stored / settings.REGISTRY
    registry.write_text(registry.read_text().replace('"data/out"', '"data/../services"'))
    data = module_data.data_of(stored, "seo")
    assert stored / "data/../services" not in data.folders
    assert data.folders


def test_data_is_listed_where_no_project_is_left(stored: Path) -> None:
    """Git keeps no empty folder: a clone of a workspace without modules has no `projects/`."""
    remove_module(stored, "seo")
    shutil.rmtree(stored / settings.PROJECTS)
    (seo, _) = sorted(module_data.every_data(stored), key=lambda data: data.module != "seo")
    assert stored / "data/out" in seo.folders

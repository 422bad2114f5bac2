"""The faults of ``test_faults.py`` in a workspace on several file systems, with links to them (FAULTS B1)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base import settings
from dagster_module_builder.transactions.backups import backup_ids
from tests import needs
from tests.engine.driver import DONE, carry_out
from tests.engine.faults import Driver, Ended, pairs
from tests.engine.folders import make_workspace, state
from tests.engine.injuries import MOST_CALLS, PREPARED, examined, hit_each

#: Of so many calls one is hit; with ENGINE_FAULTS=all every one.
STEP = 1 if os.environ.get("ENGINE_FAULTS") == "all" else 23
#: A file system each, below the workspace's root; and what is a link into two of them.
MOUNTS = ("own", "secrets", settings.BACKUPS)
LINKS = {f"{settings.SERVICES}/workspace.yaml": "own", f"{settings.SERVICES}/.env": "secrets"}


@pytest.fixture(scope="module")
def spread(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs.root()
    root = tmp_path_factory.mktemp("spread") / "ws"
    try:
        for name in MOUNTS:
            (root / name).mkdir(parents=True)
            done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / name], check=False, capture_output=True)
            needs.need(done.returncode == 0, "the right to mount a file system")
        yield root
    finally:
        for name in MOUNTS:
            subprocess.run(["umount", "-l", root / name], check=False, capture_output=True)


def emptied(folder: Path) -> None:
    """Remove everything below a folder but the mounts."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            emptied(path)
            if not path.is_mount() and not any(path.iterdir()):
                path.rmdir()
        else:
            path.unlink()


def renewed(root: Path, start: Path) -> Path:
    """Bring a workspace back to how it was, its files on their file systems."""
    emptied(root)
    shutil.copytree(start, root, symlinks=True, dirs_exist_ok=True)
    for name, folder in LINKS.items():
        path = root / name
        shutil.move(path, root / folder / path.name)
        path.symlink_to(os.path.relpath(root / folder / path.name, path.parent))
    return root


@pytest.mark.parametrize(("fault", "calls"), pairs())
@pytest.mark.parametrize("name", PREPARED)
def test_on_several_file_systems_all_is_old_or_all_is_new(
    name: str,
    fault: str,
    calls: str,
    driver: Driver,
    spread: Path,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    start = make_workspace(tmp_path / "start")
    PREPARED[name](start)
    command = (name, backup_ids(start)[0] if name == "restore" else "seo")
    old = state(start)
    assert carry_out(name, renewed(spread, start), command[1]) == DONE
    new = state(spread)

    def examine(root: Path, ended: Ended) -> None:
        examined(root, ended, old, new)
        assert all((root / link).is_symlink() for link in LINKS)

    first = 1 + (pairs().index((fault, calls)) + list(PREPARED).index(name)) % STEP
    points = hit_each(
        driver, command, fault, calls, range(first, MOST_CALLS, STEP),
        fresh=lambda: renewed(spread, start), examine=examine,
    )  # fmt: skip
    record_property("points", points)

"""Reading needs no right to write, and never shows half of a commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.health import validate
from dagster_module_builder.transactions import reading
from dagster_module_builder.transactions.control_files import ControlFiles
from dagster_module_builder.transactions.reading import LockedError
from dagster_module_builder.workspaces import listing, restore, sync
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
from tests import needs
from tests.engine.folders import FIRST_PORT, make_module, make_workspace, services

WRITER = """
import pathlib, sys, time
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.remove import remove_module
root = pathlib.Path(sys.argv[1])
print("begun", flush=True)
while True:
    for change in (remove_module, add_module):
        change(root, "seo")
        time.sleep(0.06)  # longer than a reader pauses that found the lock taken: it sees both states
"""
#: Counts how often the workspace was read whole; ends at once where half of a commit is seen.
READER = """
import os, pathlib, sys, time
from dagster_module_builder.workspaces.workspace import look_at
root, user = pathlib.Path(sys.argv[1]), int(sys.argv[2])
os.setgroups([]); os.setgid(user); os.setuid(user)
end, seen = time.monotonic() + 40, []
while time.monotonic() < end and (len(seen) <= 20 or len(set(seen)) < 2):
    workspace = look_at(root)
    there = {b"BEGIN: seo" in (text or b"") for name, text in workspace.files.items() if name in
             ("workspace.yaml", ".env", "docker-compose.yml")} | {workspace.registry.find("seo") is not None}
    assert len(there) == 1, there
    seen += there
    time.sleep(0.005)  # the lock is not fair: a reader that asks again at once keeps the writer out
print(len(seen), len(set(seen)))
"""


def made(folder: Path) -> Path:
    root = make_workspace(folder / "ws")
    make_module(root, "seo", FIRST_PORT)
    add_module(root, "seo")
    return root


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("user", [0, 65534], ids=["who may lock", "who may only read"])
def test_a_reader_beside_a_writer_sees_all_of_a_commit_or_nothing(tmp_path: Path, user: int) -> None:
    """FAULTS E11: with the lock shared, and without it."""
    needs.root()
    root = made(tmp_path)
    tmp_path.chmod(0o755)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o600 if path.name == ".lock" else 0o644)
    with python(WRITER, root) as writer:
        assert writer.stdout
        writer.stdout.readline()
        with python(READER, root, user) as reader:
            said, complained = reader.communicate(timeout=60)
        assert writer.poll() is None
        writer.kill()
    assert reader.returncode == 0, complained
    times, states = map(int, said.split())
    assert (times > 20, states) == (True, 2), said


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """FAULTS E11: nothing is made, no time of a folder changes."""
    root = made(tmp_path)
    make_module(root, "ads", FIRST_PORT + 1)
    ControlFiles(root).lock.unlink()
    (backup,) = restore.backups(root)
    before = {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))}
    listing.listing(root)
    validate.validate(root, check=False)
    add_module(root, "ads", dry_run=True)
    remove_module(root, "seo", dry_run=True)
    sync.sync(root, dry_run=True)
    restore.restore(root, backup.identity, dry_run=True)
    assert {path: path.stat().st_mtime_ns for path in (root, *root.rglob("*"))} == before


def test_a_crash_that_a_reader_cannot_undo_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS E11: half of a commit is refused, with who can end it."""
    root = made(tmp_path)
    places = ControlFiles(root)
    places.journal.write_text("{}")
    places.lock.unlink()
    places.lock.symlink_to("nowhere/at/all")  # It cannot be opened.
    monkeypatch.setattr(reading, "_COMMIT", 0.1)
    with pytest.raises(RefusedError, match="as a user who may write"):
        listing.listing(root)


def test_who_changes_it_all_the_time_is_waited_for_with_an_end(tmp_path: Path) -> None:
    """FAULTS E11: a reader without the lock reads again, and says when it gives up."""
    root = made(tmp_path)
    ControlFiles(root).lock.unlink()
    times = []

    def work() -> None:
        times.append(1)
        (services(root) / ".env").write_text(f"A={len(times)}\n")

    with pytest.raises(LockedError, match="while it was read"):
        reading.reading(root, work, wait=0.2)
    assert len(times) > 1

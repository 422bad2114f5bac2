"""The storage of native runs where it is damaged: named with its cure, before Dagster is started on it."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.native import native_environment, native_storage

#: Stands for a Python with Dagster: it makes the table files, as Dagster does when it opens them.
MAKES = """\
#!/bin/sh
cd "$DAGSTER_HOME" && mkdir -p history/runs schedules
touch history/runs.db history/runs/index.db schedules/schedules.db
echo made >> made.log
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "services/dagster").mkdir(parents=True)
    (tmp_path / native_environment.HOME).mkdir(parents=True)
    (tmp_path / "python").write_text(MAKES)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def make(root: Path) -> int:
    """Make the storage; return how often Dagster was started for that."""
    native_storage.make_storage(root, root / "python")
    return len((root / native_environment.HOME / "made.log").read_text().splitlines())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"storage: [\n", "dagster.yaml:1"),
        (b"7\n", "this is not a mapping"),
        (b"\xff\xfe\x00", "dagster.yaml"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=["a list that does not end", "a number", "no text", "depth"],
)
def test_settings_that_are_no_settings_are_named(root: Path, text: bytes, why: str) -> None:
    """FAULTS E3: the file, its line and what to do, and nothing of Dagster's traceback."""
    (root / native_environment.HOME / "dagster.yaml").write_bytes(text)
    with pytest.raises(BuilderError, match=re.escape(why)) as refused:
        make(root)
    assert str(refused.value).endswith("Fix it, or delete it, and a new one is created.")
    assert not (root / native_environment.HOME / "made.log").exists()


@pytest.mark.parametrize("name", native_storage._FILES)
@pytest.mark.parametrize("damage", ["no tables", "cut off", "a folder"])
def test_a_table_file_that_is_none_is_named_with_its_cure(root: Path, name: str, damage: str) -> None:
    """FAULTS E3: each of them."""
    assert make(root) == 1
    file = root / native_environment.HOME / name
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage == "no tables":
        file.write_bytes(b"something else\n" * 100)
    else:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BuilderError, match=re.escape(f"{file} is damaged")) as refused:
        make(root)
    assert f"mv {root / native_environment.HOME} " in str(refused.value)


def test_what_was_removed_is_made_again_by_one(root: Path) -> None:
    """FAULTS E3: two first runs at once would make its tables twice."""
    assert (make(root), make(root)) == (1, 1)
    (root / native_environment.HOME / "history/runs.db").unlink()
    assert make(root) == 2


@pytest.mark.parametrize("earlier", [0o755, 0o777, None])
def test_what_runs_without_containers_is_kept_from_other_users(root: Path, earlier: int | None) -> None:
    """FAULTS S14: also where an earlier version made the folder; uv's lock in it may be read by all."""
    folder = root / native_environment.FOLDER
    if earlier is None:
        shutil.rmtree(folder)
    else:
        folder.chmod(earlier)
    assert native_environment.make_private_folder(root) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700

"""What a workspace installs: the files that were locked and no others, in workspaces of earlier versions too."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.health.validate import validate
from dagster_module_builder.modules.hashes import REFRESH
from dagster_module_builder.native import native_environment
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.restore import restore
from dagster_module_builder.workspaces.sync import sync
from tests import index, needs
from tests.engine.folders import make_workspace

SERVICES = "services/dagster"
CONSTRAINTS, LOCK, DOCKERFILE = (f"{SERVICES}/{name}" for name in ("constraints.txt", "constraints.lock", "Dockerfile"))
#: What the Dockerfile of earlier versions had, and what stands there now: from the first line to the last.
EARLIER = """\
COPY services/dagster/constraints.txt /opt/dagster/constraints.txt
RUN python3 -m pip install --no-cache-dir --constraint /opt/dagster/constraints.txt uv \\
"""
FIRST, LAST = "COPY services/dagster/constraints.txt ", "--requirement /opt/dagster/uv.txt \\\n"


def tree(root: Path) -> dict[str, bytes]:
    names = (CONSTRAINTS, LOCK, DOCKERFILE, ".dockerignore")
    return {name: (root / name).read_bytes() for name in names if (root / name).is_file()}


def earlier(root: Path) -> Path:
    """Make a workspace as versions did that knew of no hashes."""
    initialize(root)
    (root / LOCK).unlink()
    text = (root / DOCKERFILE).read_text()
    today = text[text.index(FIRST) : text.index(LAST) + len(LAST)]
    (root / DOCKERFILE).write_text(text.replace(today, EARLIER))
    ignored = root / ".dockerignore"
    ignored.write_text(ignored.read_text().replace(f"!{LOCK}\n", ""))
    return root


def hashes_said(root: Path) -> list[str]:
    return [f"{one.message} {one.fix}" for one in validate(root, check=False) if "hashes" in one.message]


def test_constraints_of_ones_own_get_no_hashes_of_the_template(tmp_path: Path) -> None:
    """A workspace that this program did not make may pin what the template pins, and stays as it is."""
    root = make_workspace(tmp_path / "ws")
    (root / CONSTRAINTS).write_text(f"{index.PINNED}\n")
    before = tree(root)
    assert sync(root).outcome.notes == ()
    assert (tree(root), hashes_said(root)) == (before, [])


def test_a_workspace_of_an_earlier_version_gets_its_hashes_by_one_sync_and_the_way_back(tmp_path: Path) -> None:
    initialize(tmp_path / "new")
    root = earlier(tmp_path / "old")
    before = tree(root)
    assert LOCK not in before
    (said,) = hashes_said(root)
    assert "Run 'workspace.sync'" in said
    assert any("constraints.lock has the hashes" in note for note in sync(root, dry_run=True).outcome.notes)
    assert tree(root) == before
    done = sync(root)
    assert tree(root) == tree(tmp_path / "new")
    assert hashes_said(root) == []
    again = sync(root)
    assert not again.outcome.plan.effective
    assert done.outcome.backup
    restore(root, done.outcome.backup)
    assert tree(root) == before


@pytest.mark.parametrize(
    ("edited", "line"),
    [
        (EARLIER, EARLIER.replace(" uv ", " uv==0.9.0 ")),
        (EARLIER, f"{EARLIER[:-2]} && pip install -c /opt/dagster/constraints.txt x \\\n"),
    ],
    ids=["edited", "pip reads the constraints"],
)
def test_an_edited_dockerfile_stays_as_it_is(tmp_path: Path, edited: str, line: str) -> None:
    root = earlier(tmp_path / "old")
    file = root / DOCKERFILE
    file.write_text(file.read_text().replace(edited, line))
    before = tree(root)
    notes = sync(root).outcome.notes
    assert any("Dockerfile was edited: the image takes no hashes" in note for note in notes)
    after = tree(root)
    assert {**after, LOCK: b""} == {**before, LOCK: b""}
    assert LOCK in after


def test_a_workspace_with_versions_of_its_own_only_gets_nothing(tmp_path: Path) -> None:
    root = earlier(tmp_path / "old")
    (root / CONSTRAINTS).write_text("dagster==1.13.0.dev1\n")
    before = tree(root)
    sync(root)
    assert tree(root) == before
    assert hashes_said(root) == []


def test_a_version_without_hashes_is_named_with_the_command_that_gets_them(tmp_path: Path) -> None:
    root = tmp_path / "ws"
    initialize(root)
    file = root / CONSTRAINTS
    file.write_text(file.read_text().replace(index.PINNED, "toposort==1.9"))
    (said,) = hashes_said(root)
    assert said == f"hashes are not verified of toposort==1.9 Run there: {REFRESH}"
    before = tree(root)
    sync(root)
    assert tree(root) == before


@pytest.mark.slow
@pytest.mark.dagster
@pytest.mark.xdist_group("native")
def test_the_native_environment_takes_no_wheel_but_the_one_that_was_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the lock it is refused; a workspace without one, or with a version of its owner's, goes on as before."""
    needs.registry()
    (tmp_path / "wheels").mkdir()
    changed = index.changed(index.genuine(tmp_path / "wheels"), tmp_path / "changed")
    root = tmp_path / "ws"
    initialize(root)
    own, lock = (root / CONSTRAINTS).read_text(), (root / LOCK).read_text()
    with index.serving(changed) as address:
        monkeypatch.setenv("UV_INDEX", address)
        with pytest.raises(ToolError, match=f"(?s)Hash mismatch for `{index.PINNED}`"):
            native_environment.shared_environment(root)
        (root / CONSTRAINTS).write_text(own.replace(index.PINNED, "toposort>=1.9,<2"))
        python = native_environment.shared_environment(root)
        assert is_changed(python)
        (root / CONSTRAINTS).write_text(own)
        (root / LOCK).unlink()
        assert native_environment.shared_environment(root) == python
    monkeypatch.delenv("UV_INDEX")
    (root / LOCK).write_text(lock)
    subprocess.run(["rm", "-rf", root / ".native/venv"], check=True)
    assert not is_changed(native_environment.shared_environment(root))


def is_changed(python: Path) -> bool:
    look = "import dagster, toposort; print(hasattr(toposort, 'CHANGED'))"
    done = subprocess.run([python, "-c", look], capture_output=True, text=True, check=True)
    return done.stdout == "True\n"

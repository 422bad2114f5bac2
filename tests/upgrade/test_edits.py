"""Modules that people edited by hand, in twenty ways: each edit is there after an upgrade, or inside a conflict."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.upgrade import ending, run
from dagster_module_builder.upgrade.rendering import Rendering

PACKAGE = "src/sales_dagster"
ENV = "workspace/local/.env"
MINE = b"# mine: gr\xc3\xb6\xc3\x9fe \xe6\x97\xa5\xe6\x9c\xac"


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def edit(module: Path) -> None:
        path = module / name
        before = path.read_bytes()
        path.write_bytes(change(before))
        assert path.read_bytes() != before

    return edit


def own_file(module: Path) -> None:
    (module / "new/folder").mkdir(parents=True)
    (module / "new/folder/file.md").write_bytes(MINE)


def replaced_by_folder(module: Path) -> None:
    (module / "TROUBLESHOOTING.md").unlink()
    (module / "TROUBLESHOOTING.md").mkdir()


def linked(module: Path) -> None:
    (module / "README.md").rename(module / "READ.md")
    (module / "README.md").symlink_to("READ.md")


#: The edit, and what must be found in which file afterwards.
EDITS: dict[str, tuple[Callable[[Path], None], str, bytes]] = {
    "a line at the end": (changed("README.md", lambda text: text + MINE), "README.md", MINE),
    "a line at the beginning": (changed("README.md", lambda text: MINE + b"\n" + text), "README.md", MINE),
    "the template's line": (changed("README.md", lambda text: text.replace(b"## Run it", MINE)), "README.md", MINE),
    "the line before it": (
        changed("README.md", lambda text: text.replace(b"## Run", MINE + b"\n## Run")), "README.md", MINE
    ),
    "everything": (changed("README.md", lambda _: MINE), "README.md", MINE),
    "nothing left": (changed("README.md", lambda _: b""), "README.md", b""),
    "no final newline": (changed("README.md", lambda text: text.rstrip(b"\n")), "README.md", b"tomorrow"),
    "Windows endings": (changed("README.md", lambda text: text.replace(b"\n", b"\r\n")), "README.md", b"tomorrow\r\n"),
    "Latin-1": (changed("README.md", lambda text: text + b"gr\xf6\xdfe\n"), "README.md", b"gr\xf6\xdfe\n"),
    "trailing blanks": (changed("README.md", lambda text: text.replace(b"\n\n", b"  \n\n")), "README.md", b"  \n"),
    "tabs": (changed(f"{PACKAGE}/assets.py", lambda text: text.replace(b"    ", b"\t")), f"{PACKAGE}/assets.py", b"\t"),
    "a new asset": (changed(f"{PACKAGE}/assets.py", lambda text: text + MINE), f"{PACKAGE}/assets.py", MINE),
    "a requirement": (
        changed("pyproject.toml", lambda text: text.replace(b'    "pandas>=2.2",', b'    "mine",\n    "pandas>=2.2",')),
        "pyproject.toml",
        b'    "mine",\n',
    ),
    "a variable": (changed(ENV, lambda text: text + b"SALES_MINE='1'\n"), ENV, b"SALES_MINE"),
    "a changed port": (
        changed(ENV, lambda text: text.replace(b"PORT='", b"PORT='1")), ENV, b"PORT='1"
    ),
    "a file of one's own": (lambda module: (module / "mine.md").write_bytes(MINE) and None, "mine.md", MINE),
    "a file that the template brings": (
        own_file,
        "new/folder/file.md",
        MINE,
    ),
    "a renamed file": (
        lambda module: (module / "TROUBLESHOOTING.md").rename(module / "HELP.md") and None, "HELP.md", b"# "
    ),
    "an edited file that the template drops": (
        changed("TROUBLESHOOTING.md", lambda text: text + MINE), "TROUBLESHOOTING.md", MINE
    ),
    "an executable": (lambda module: (module / "README.md").chmod(0o755), "README.md", b"tomorrow"),
}  # fmt: skip


@pytest.mark.parametrize("way", EDITS)
def test_an_edit_survives(root: Path, module: Path, fixed: Rendering, way: str) -> None:
    edit, name, wanted = EDITS[way]
    edit(module)
    outcome = run.upgrade(root, "sales")
    path = module / name
    assert wanted in path.read_bytes()
    if way == "an executable":
        assert os.access(path, os.X_OK)
    if outcome.conflicts:
        ending.abort(root, "sales")
        assert wanted in path.read_bytes() or wanted == b"tomorrow"
    assert run.upgrade(root, "sales", dry_run=True).changes == bool(outcome.conflicts)


@pytest.mark.parametrize("edit", [replaced_by_folder, linked])
def test_what_is_no_plain_file_is_refused(
    root: Path, module: Path, fixed: Rendering, edit: Callable[[Path], None]
) -> None:
    edit(module)
    with pytest.raises(RefusedError, match="is not a regular file"):
        run.upgrade(root, "sales")


def test_a_deleted_file_stays_deleted(root: Path, module: Path, fixed: Rendering) -> None:
    shutil.rmtree(module / "tests")
    (module / "README.md").unlink()
    run.upgrade(root, "sales")
    assert not (module / "tests").exists()
    assert not (module / "README.md").exists()

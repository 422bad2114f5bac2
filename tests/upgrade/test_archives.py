"""The baseline comes with the module, which may be a stranger's: its archive, and what it says, are not believed."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.base.baseline import FILE, FileContent, unpacked
from dagster_module_builder.base.errors import DamagedFileError, RefusedError
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.upgrade.three_way import Versions, merge
from tests.upgrade.module_files import files_of

OUTSIDE = [
    "../stock/README.md", "/etc/passwd", "a/../../x", "./a", "a//b", "a/", "", "C:/x", "a\\b", "a\x1b[2J", ".git/x"
]  # fmt: skip


def archive(*entries: tuple[str, bytes, int]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content)
    return stream.getvalue()


def plain(*names: str) -> bytes:
    return archive(*((name, b"x", stat.S_IFREG | 0o644) for name in names))


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_out_of_the_module_is_refused(name: str) -> None:
    """FAULTS S2: absolute, with `..`, or in another spelling."""
    with pytest.raises(ValueError, match="not a path of a file in the module"):
        unpacked(plain(name))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b/c", "a/b")])
def test_a_file_that_is_there_twice_is_refused(names: tuple[str, ...]) -> None:
    """FAULTS S2: two readers would read two archives."""
    with pytest.raises(ValueError, match="twice"):
        unpacked(plain(*names))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFSOCK])
def test_what_is_no_plain_file_is_refused(kind: int) -> None:
    """FAULTS S2: links, folders and devices."""
    with pytest.raises(ValueError, match="not a regular file"):
        unpacked(archive(("a", b"/etc/passwd", kind | 0o644)))


#: How the list of contents begins an entry, up to its flags.
CENTRAL = b"PK\x01\x02\x14\x03\x14\x00"
BOMBS: dict[str, Callable[[], bytes]] = {
    "packed tightly": lambda: archive(("a", bytes(20 << 20), 0)),
    "of many files": lambda: plain(*map(str, range(2001))),
    "of much": lambda: archive(*((str(number), bytes(1 << 20), 0) for number in range(65))),
    "encrypted": lambda: plain("a").replace(CENTRAL + b"\0\0", CENTRAL + b"\1\0"),
    "cut off": lambda: plain("a" * 50)[:-30],
    "not packed at all": lambda: b"PK",
    "with another content": lambda: plain("a")[:31] + b"\xff" + plain("a")[32:],
}


@pytest.mark.parametrize("kind", BOMBS)
def test_an_archive_that_is_a_bomb_or_damaged_is_refused(kind: str) -> None:
    """FAULTS S2: by its count, its size and its ratio, before anything is unpacked."""
    data = BOMBS[kind]()
    assert data != plain("a")
    with pytest.raises(ValueError, match=r"\w"):
        unpacked(data)


def test_an_upgrade_refuses_a_baseline_that_names_other_files(root: Path, module: Path) -> None:
    """FAULTS S2: neither another module's files nor the workspace's `.env` are within reach."""
    before = files_of(root)
    (module / FILE).write_bytes(plain("../../services/dagster/.env"))
    with pytest.raises(DamagedFileError, match=r"services/dagster/\.env' is not a path of a file in the module"):
        upgrade(root, "sales")
    (module / FILE).unlink()
    (module / FILE).symlink_to(root / "services/dagster/.env")
    with pytest.raises(DamagedFileError, match="behind a link"):
        upgrade(root, "sales")
    (module / FILE).unlink()
    (module / FILE).write_bytes(before[str((module / FILE).relative_to(root))][0])
    assert {**files_of(root), **{name: before[name] for name in before if "/modules/" in name}} == before


def test_an_upgrade_does_not_follow_a_folder_that_is_a_link(root: Path, module: Path) -> None:
    """FAULTS S2: what lies behind it is another module's."""
    (module / "deploy").rename(root / "projects/stock")
    (module / "deploy").symlink_to("../stock")
    before = files_of(root / "projects/stock")
    with pytest.raises(RefusedError, match="deploy is not a folder"):
        upgrade(root, "sales")
    assert files_of(root / "projects/stock") == before


def test_a_baseline_cannot_have_secrets_moved_to_a_file_that_git_tracks() -> None:
    """FAULTS S2: it claims that the template's new page was called `.env` once."""
    page, secret = FileContent(b"a\nb\nc\n"), FileContent(b"PASSWORD='hunter2'\n")
    found = merge({".env": page}, {".env": secret}, {"NOTES.md": page}, Versions("1", "2"))
    after = {one.path: one.after for one in found}
    assert after == {".env": secret, "NOTES.md": page}

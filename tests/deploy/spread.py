"""A host whose files are on several file systems: Dagster's own behind links, ours on a mount."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests import needs
from tests.deploy.host_driver import MODULE, OLD, env, workspace

MOUNTS = ("modules", "own", "secrets")


def mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *map(str, arguments)], check=False, capture_output=True)
    needs.need(done.returncode == 0, "the right to mount a file system")


@contextlib.contextmanager
def file_systems(base: Path) -> Iterator[None]:
    """Have ``modules``, and the files behind ``workspace.yaml`` and ``.env``, on a file system each.

    Args:
        base: The base path; what is in it already is kept.
    """
    needs.root()
    beside = base.parent / f"{base.name}-beside"
    folders = [base / "modules", beside / "own", beside / "secrets"]
    try:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            mount("-t", "tmpfs", "-o", "size=2g", "tmpfs", folder)
        for name, folder in (("workspace.yaml", folders[1]), (".env", folders[2])):
            if (base / name).exists():
                shutil.move(base / name, folder / name)
            (base / name).symlink_to(folder / name)
        assert len({one.stat().st_dev for one in (base, *folders)}) == 4
        yield
    finally:
        for folder in folders:
            subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def fill(base: Path) -> None:
    """Let a release run, and another one be ready, on a host that is empty but for its file systems."""
    there = base / "modules" / MODULE
    (base / "workspace.yaml").write_bytes(workspace(base, OLD))
    (base / ".env").write_bytes(env(OLD))
    (base / ".env").chmod(0o600)
    for folder in (there / "releases" / OLD, there / "ready"):
        package = folder / "src" / "sales_report_dagster"
        package.mkdir(parents=True)
        (package / "definitions.py").touch()
    (there / "env").mkdir()
    (there / "state.json").write_text(f'{{"current": "{OLD}"}}')
    (there / "current").symlink_to(f"releases/{OLD}")


def empty(base: Path) -> None:
    """Take everything away again but the file systems and the links to them."""
    for path in (base / "modules").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in ("workspace.yaml", ".env"):
        for path in (base / name).resolve().parent.iterdir():
            if path.is_file() and not path.is_symlink():
                path.unlink()

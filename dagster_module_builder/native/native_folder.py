"""The folder of runs without containers: what is where in it, and the address that a running Dagster leaves there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Below the root: the environments and the instance of runs without containers.
FOLDER = Path(".native")
#: Dagster's instance there.
HOME = FOLDER / "home"

_URL = FOLDER / "url"
_SERVED = FOLDER / "served.yaml"


@contextmanager
def announced(root: Path, url: str) -> Iterator[None]:
    """Record the address of Dagster's page for other commands while Dagster runs natively."""
    file = root / _URL
    file.write_text(url)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def dev_url(root: Path) -> str | None:
    """Return the recorded address of Dagster's page, or None; it may remain after a crash."""
    file = root / _URL
    return file.read_text() if file.is_file() else None


def served_file(root: Path) -> Path:
    """Return the workspace file that names the running code servers; there is none without them."""
    return root / _SERVED

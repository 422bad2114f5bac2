"""An upgrade whose conflicts are not resolved yet: what it takes to finish it, and to give everything back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dagster_module_builder.base import baseline, settings
from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.base.errors import DamagedFileError

_OLD = "old/"
#: What a person's files may hold that an upgrade changes.
MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Unfinished:
    """The state between an upgrade with conflicts and its end.

    Attributes:
        old: The bytes of every file that was changed, as it was; None where it did not exist.
        executable: The files among them that could be executed.
        conflicts: The files with conflicts.
        record: What the module records in the end.
        baseline: The baseline that it has in the end.
        marker_sizes: How many characters the markers of conflicts begin with, by file, where more than usual.
    """

    old: Mapping[str, bytes | None]
    executable: tuple[str, ...]
    conflicts: tuple[str, ...]
    record: bytes
    baseline: bytes
    marker_sizes: Mapping[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Write it as an archive."""
        said = {
            "absent": [path for path, content in self.old.items() if content is None],
            "executable": self.executable,
            "conflicts": self.conflicts,
            "marker_sizes": dict(self.marker_sizes),
        }
        files = {"upgrade.json": json.dumps(said).encode(), "record": self.record, "baseline": self.baseline}
        files |= {_OLD + path: content for path, content in self.old.items() if content is not None}
        return baseline.packed({name: FileContent(content) for name, content in files.items()})


def place(root: Path, name: str) -> Path:
    """Return where the state of a module's upgrade lies: beside the backups, since it holds secrets as they do."""
    return root / settings.BACKUPS / f"upgrade-{name}.zip"


def read(root: Path, name: str) -> tuple[bytes, Unfinished] | None:
    """Return the unfinished upgrade of a module, with its bytes; None where there is none.

    Raises:
        DamagedFileError: It cannot be read.
    """
    path = place(root, name)
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        return data, _read(data)
    except (KeyError, ValueError):
        raise DamagedFileError(path, None, "it is damaged", "Delete it, and compare the module with git.") from None


def _read(data: bytes) -> Unfinished:
    files = {name: one.content for name, one in baseline.unpacked(data, MOST_BYTES).items()}
    said = json.loads(files["upgrade.json"])
    old: dict[str, bytes | None] = dict.fromkeys(said["absent"])
    old |= {name[len(_OLD) :]: content for name, content in files.items() if name.startswith(_OLD)}
    executable, conflicts = tuple(said["executable"]), tuple(said["conflicts"])
    # Earlier versions wrote markers of the usual size alone.
    sizes = said.get("marker_sizes", {})
    return Unfinished(old, executable, conflicts, files["record"], files["baseline"], sizes)

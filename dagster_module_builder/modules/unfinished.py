"""An upgrade whose conflicts are not resolved yet: what is needed to finish it, and to take it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dagster_module_builder.base import baseline
from dagster_module_builder.base.baseline import FileContent
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.base.layout import layout_of

_OLD = "old/"
#: The most bytes of a person's files that an upgrade changes.
MOST_BYTES = 4 << 30


@dataclass(frozen=True)
class Unfinished:
    """The state between an upgrade with conflicts and its end.

    Attributes:
        old: The bytes of every file that was changed, as it was; None where it did not exist.
        executable: The files among them that could be executed.
        conflicts: The files with conflicts.
        record: The module's record once it is finished.
        baseline: The module's baseline once it is finished.
        marker_sizes: The number of characters that conflict markers begin with, for files that need more than seven.
    """

    old: Mapping[str, bytes | None]
    executable: tuple[str, ...]
    conflicts: tuple[str, ...]
    record: bytes
    baseline: bytes
    marker_sizes: Mapping[str, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return it as an archive."""
        state = {
            "absent": [path for path, content in self.old.items() if content is None],
            "executable": self.executable,
            "conflicts": self.conflicts,
            "marker_sizes": dict(self.marker_sizes),
        }
        files = {"upgrade.json": json.dumps(state).encode(), "record": self.record, "baseline": self.baseline}
        files |= {_OLD + path: content for path, content in self.old.items() if content is not None}
        return baseline.packed({name: FileContent(content) for name, content in files.items()})


def path_of(root: Path, name: str) -> Path:
    """Return the file with the state of a module's upgrade: beside the backups, since it holds secrets as they do."""
    return layout_of(root).backups / f"upgrade-{name}.zip"


def read(root: Path, name: str) -> tuple[bytes, Unfinished] | None:
    """Return the unfinished upgrade of a module, with its bytes; None where there is none.

    Raises:
        DamagedFileError: It cannot be read.
    """
    path = path_of(root, name)
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        return data, _read(data)
    except (KeyError, ValueError):
        raise DamagedFileError(path, None, "it is damaged", "Delete it, and compare the module with git.") from None


def _read(data: bytes) -> Unfinished:
    files = {name: file.content for name, file in baseline.unpacked(data, MOST_BYTES).items()}
    state = json.loads(files["upgrade.json"])
    old: dict[str, bytes | None] = dict.fromkeys(state["absent"])
    old |= {name[len(_OLD) :]: content for name, content in files.items() if name.startswith(_OLD)}
    executable, conflicts = tuple(state["executable"]), tuple(state["conflicts"])
    # Earlier versions wrote markers of the usual size alone.
    sizes = state.get("marker_sizes", {})
    return Unfinished(old, executable, conflicts, files["record"], files["baseline"], sizes)

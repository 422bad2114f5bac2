"""What the registry remembers of one shared file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dagster_module_builder.shared_files.formats.outline import KeyPath
from dagster_module_builder.shared_files.formats.shared_file import Scaffold
from dagster_module_builder.shared_files.sealing import Seal

#: The key of the scaffold that ended a file's last line.
END_OF_FILE: KeyPath = ("(end of file)",)
#: The key that marks a file that did not exist before.
NO_FILE: KeyPath = ("(no file)",)

#: By slot, the digest of a module's block.
Digests = dict[KeyPath, str]


@dataclass(frozen=True)
class RegisteredFile:
    """The blocks and scaffolds in a file, as the registry remembers them.

    Attributes:
        digests: By marker and slot, the digest of the block that was written.
        scaffolds: By slot, the change that made room for blocks.
        seal: Seals both if the file has secrets.
    """

    digests: Mapping[str, Digests] = field(default_factory=dict)
    scaffolds: Mapping[KeyPath, Scaffold] = field(default_factory=dict)
    seal: Seal | None = None

    def sealed(self, digest: str) -> str:
        """Return a digest in the form that the registry stores."""
        return self.seal(digest) if self.seal else digest

    def sealed_line(self, line: bytes) -> bytes:
        """Return an own line (without its ending) in the form that the registry stores."""
        return self.seal.line(line) if self.seal else line

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Every marker with each of its digests."""
        return {(marker, value) for marker, slots in self.digests.items() for value in slots.values()}

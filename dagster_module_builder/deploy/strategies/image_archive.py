"""An image as a file: for hosts without a registry, each of which gets the layers that it lacks."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
import weakref
from collections.abc import Sequence
from typing import IO, Any, cast

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.deploy.strategies.images import docker


class ImageArchive:
    """An image as ``docker save`` writes it; each host gets the layers that it lacks.

    It is in a file without a name, which is gone when this process ends, even if it is killed.
    """

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as hosts read from it
        weakref.finalize(self, self._file.close)
        docker(["save", tag], into=self._file)
        with tarfile.open(fileobj=cast("IO[bytes]", self._part(0, None))) as archive:
            self._members = archive.getmembers()
            (entry,) = _json_in(archive, "manifest.json")
            config = _json_in(archive, entry["Config"])
        #: Each layer's digest, and its file in the archive.
        self.layers: list[tuple[str, str]] = list(zip(config["rootfs"]["diff_ids"], entry["Layers"], strict=True))

    def _part(self, start: int, size: int | None) -> _Part:
        return _Part(self._file.fileno(), start, os.fstat(self._file.fileno()).st_size if size is None else size)

    def lacking(self, present: Sequence[Sequence[str]]) -> set[str]:
        """Return the files of the layers that a host lacks, given the layers of each image that it has.

        A layer counts only on top of the same layers, since that is how Docker identifies it.
        """
        ours = [digest for digest, _ in self.layers]
        known = max((_common(ours, theirs) for theirs in present), default=0)
        present_files = {file for _, file in self.layers[:known]}
        return {file for _, file in self.layers[known:]} - present_files

    def write(self, target: IO[bytes], present: Sequence[Sequence[str]]) -> int:
        """Write the archive without the layers that a host has; return the bytes of the layers that are sent."""
        left_out = {file for _, file in self.layers} - self.lacking(present)
        sent = 0
        with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as archive:
            for member in self._members:
                if member.name in left_out:
                    continue
                content = self._part(member.offset_data, member.size) if member.isreg() else None
                archive.addfile(member, cast("IO[bytes] | None", content))
                sent += member.size if member.name in {file for _, file in self.layers} else 0
        return sent


def _json_in(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    if file is None:
        raise ToolError(f"docker save wrote no {name}.")
    return json.load(file)


def _common(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Return how many layers at the beginning of two images are equal."""
    count = 0
    for layer, other in zip(ours, theirs, strict=False):
        if layer != other:
            break
        count += 1
    return count


class _Part:
    """A part of a file; several threads may read one file, since each part has its own position."""

    def __init__(self, handle: int, start: int, size: int) -> None:
        self._handle, self._start, self._size, self._at = handle, start, size, 0

    def read(self, size: int = -1) -> bytes:
        left = max(self._size - self._at, 0)
        text = os.pread(self._handle, left if size < 0 else min(size, left), self._start + self._at)
        self._at += len(text)
        return text

    def seek(self, place: int, whence: int = 0) -> int:
        self._at = place if whence == 0 else self._at + place if whence == 1 else self._size + place
        return self._at

    def tell(self) -> int:
        return self._at

"""A release's folder on a host, and the ways to bring files there that all strategies have."""

from __future__ import annotations

import base64
import json
import shlex
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.deploy.host_side.manifest import path_of

if TYPE_CHECKING:
    from dagster_module_builder.deploy.connection.conversation import Conversation
    from dagster_module_builder.deploy.connection.remote import Remote
    from dagster_module_builder.deploy.model.release import Staged

#: The most bytes of files to send in the conversation if the host has a release already: rsync takes seven round trips
#: to begin, but sends only the changed parts of a file.
FEW = 128 << 10
#: The same if everything is new to the host: with compressed files, rsync is as quick from 8 MiB on.
FIRST = 8 << 20
#: Bytes of files in one request: the host writes them while the next are read.
PART = 256 << 10


#: The kind (``f`` or ``x``, as in a manifest), the path and the content of a file.
File = tuple[str, str, bytes]


def for_conversation(staged: Staged, lines: Sequence[str]) -> Iterable[File] | None:
    """Return the files in some lines of a manifest if they should be sent in the conversation, else None.

    Files are read while they are sent; one that is gone by then is left out, which the host notices.
    """
    if any(line.split(" ", 2)[1] == "l" for line in lines):
        return None
    if len(lines) == len(staged.lines):
        return _files(staged, lines) if staged.size <= FIRST else None
    files, size = [], 0
    for file in _files(staged, lines):
        size += len(file[2])
        if size > FEW:
            return None
        files.append(file)
    return files


def _files(staged: Staged, lines: Iterable[str]) -> Iterator[File]:
    for line in lines:
        path = path_of(line)
        content = staged.read(path)
        if content is not None:
            yield line.split(" ", 2)[1], path, content


def _parts(files: Iterable[File]) -> Iterator[list[File]]:
    """Divide files among requests."""
    part, size = [], 0
    for file in files:
        part.append(file)
        size += len(file[2])
        if size >= PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _packed(part: Sequence[File]) -> bytes:
    listed = json.dumps([(kind, path, len(content)) for kind, path, content in part])
    return zlib.compress(b"\n".join([listed.encode(), b"".join(content for *_, content in part)]))


@dataclass(frozen=True)
class ReleaseFolder:
    """A release's folder on a host.

    Attributes:
        remote: The connection to the host.
        conversation: The conversation with the host.
        path: The empty folder for the release, on the host.
        current: The folder of the current release; None without one.
        repository: A folder on the host for the strategy itself, kept from release to release; it may not exist yet.
        identity: The release's name.
        again: Whether the files that arrived the first time differed from those sent.
        made: What the strategy built.
        unlinked: The numbers of the manifest's lines that the host linked nothing for; None for all of them.
        source: The commit of the current release, as the host reports it; it may be any text.
    """

    remote: Remote
    conversation: Conversation
    path: str
    current: str | None
    repository: str
    identity: str
    again: bool = False
    made: Mapping[str, Any] = field(default_factory=dict)
    unlinked: Sequence[int] | None = None
    source: str | None = None

    def lacking(self, staged: Staged) -> list[str]:
        """Return the lines of the manifest that nothing was linked for.

        Raises:
            ToolError: The host names lines that do not exist.
        """
        if self.unlinked is None or self.again:
            return staged.lines
        if any(number >= len(staged.lines) for number in self.unlinked):
            raise ToolError(f"{self.remote.address}: the host asks for files that the release does not have.")
        return [staged.lines[number] for number in self.unlinked]

    def put(self, files: Iterable[File]) -> None:
        """Send files to the folder; they are there when the next request has been answered."""
        self.conversation.post(("put", {"folder": self.path, "attached": _packed(part)}) for part in _parts(files))

    def typed(self, command: str) -> str:
        """Return a shell command for the host as a person would type it here."""
        return shlex.join([*self.remote.address.typed(), command])

    def run(self, *command: str, stdin: bytes | None = None, environ: Mapping[str, str] | None = None) -> str:
        """Run a command on the host and return its output.

        Raises:
            ToolError: It failed.
        """
        text = None if stdin is None else base64.b64encode(stdin).decode()
        answer = self.conversation.ask("run", command=list(command), stdin=text, environ=dict(environ or {}))
        if answer["code"]:
            raise ToolError(f"{self.remote.address}: {command[0]} failed: {answer['said'].strip()}")
        return str(answer["said"])

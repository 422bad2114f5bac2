"""Where a release comes to be on a host, and the ways for its files that all strategies have."""

from __future__ import annotations

import base64
import shlex
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dagster_module_builder.deployments.release import path_of
from dagster_module_builder.errors import ToolError

if TYPE_CHECKING:
    from dagster_module_builder.deployments.release import Staged
    from deploy_strategies.conversation import Conversation
    from deploy_strategies.remote import Remote

#: Files of so many bytes together reach a host in the conversation: a program of their own takes seven round trips.
FEW = 128 << 10


def few(staged: Staged, lines: Iterable[str]) -> list[tuple[str, str, bytes]] | None:
    """Return the kind, path and content of the files in some lines of a manifest; None for too much, and for links."""
    found, size = [], 0
    for line in lines:
        kind, path = line.split(" ", 2)[1], path_of(line)
        content = None if kind == "l" else staged.read(path)
        if content is None or size + len(content) > FEW:
            return None
        size += len(content)
        found.append((kind, path, content))
    return found


@dataclass(frozen=True)
class Place:
    """Where a release is to come to be.

    Attributes:
        remote: The host.
        conversation: What the host is asked over.
        folder: The empty folder for the release, on the host.
        current: The folder of the release that runs now, or None.
        repository: A folder of the strategy's own on the host, kept from release to release; may not exist yet.
        identity: The release's name.
        again: Whether what arrived the first time was not what was sent.
        made: What the strategy built.
    """

    remote: Remote
    conversation: Conversation
    folder: str
    current: str | None
    repository: str
    identity: str
    again: bool = False
    made: Mapping[str, Any] = field(default_factory=dict)

    def share(self, staged: Staged) -> list[str]:
        """Have in the folder what the current release has alike, by hard links; return the manifest's other lines."""
        if self.current is None or self.again:
            return staged.lines
        contents = base64.b64encode(zlib.compress(staged.manifest.encode(), 1)).decode()
        answer = self.conversation.ask("share", folder=self.folder, current=self.current, contents=contents)
        return [staged.lines[number] for number in answer["lacking"]]

    def put(self, files: Sequence[tuple[str, str, bytes]]) -> None:
        """Have files in the folder: the kind, the path and the content of each."""
        if not files:
            return
        listed = [[kind, path, len(content)] for kind, path, content in files]
        packed = base64.b64encode(zlib.compress(b"".join(content for *_, content in files))).decode()
        self.conversation.ask("put", folder=self.folder, files=listed, contents=packed)

    def typed(self, command: str) -> str:
        """Return a shell command for the host as a person would type it here."""
        return shlex.join([*self.remote.address.typed(), command])

    def run(self, *command: str, given: bytes | None = None, environ: Mapping[str, str] | None = None) -> str:
        """Run a command on the host and return what it said.

        Raises:
            ToolError: It failed.
        """
        text = None if given is None else base64.b64encode(given).decode()
        answer = self.conversation.ask("run", command=list(command), given=text, environ=dict(environ or {}))
        if answer["code"]:
            raise ToolError(f"{self.remote.address}: {command[0]} failed: {answer['said'].strip()}")
        return str(answer["said"])

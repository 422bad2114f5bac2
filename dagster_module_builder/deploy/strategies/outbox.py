"""A repository that holds some snapshots and nothing else: releases are pushed from it."""

from __future__ import annotations

import shutil
import tempfile
import weakref
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from dagster_module_builder.deploy.strategies.snapshot import Snapshot, built, is_in
from dagster_module_builder.programs import git_program
from dagster_module_builder.programs.version_control import Repository

_ATTRIBUTES = ".gitattributes"


class Outbox:
    """A repository with some snapshots and nothing else, to push from: no history, no settings, no remotes."""

    def __init__(self, repository: Repository, snapshots: Sequence[Snapshot], before: Sequence[Snapshot] = ()) -> None:
        """Make the repository.

        Args:
            repository: The repository that has the objects.
            snapshots: The snapshots to push.
            before: The snapshots that the other side has already.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="git-outbox-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "refs").mkdir()
        (self.folder / "objects/info").mkdir(parents=True)
        (self.folder / "HEAD").write_text("ref: refs/heads/none\n")
        kind = f"\trepositoryformatversion = 1\n[extensions]\n\tobjectformat = {snapshots[0].format}\n"
        (self.folder / "config").write_text(f"[core]\n\tbare = true\n\tattributesFile = /dev/null\n{kind}")
        (self.folder / "objects/info/alternates").write_text(_quoted(repository.common / "objects"))
        for name, content in (item for snapshot in [*snapshots, *before] for item in snapshot.objects.items()):
            self._write(name, content)
        if before:
            # Only in a shallow repository does Git leave out the objects of a commit that is not an ancestor of the
            # pushed one, without checking each object (builtin/pack-objects.c: --objects-edge-aggressive).
            (self.folder / "shallow").write_text("".join(f"{snapshot.commit}\n" for snapshot in before))

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / "objects" / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(content, 1))

    def git(self, *arguments: str, environ: Mapping[str, str] | None = None, stdin: bytes | None = None) -> bytes:
        """Run a Git command and return its output; the user's own settings do not count.

        Raises:
            ToolError: It failed; with Git's own words.
        """
        nothing = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ATTR_NOSYSTEM": "1"}
        fixed = {**nothing, "GIT_DIR": str(self.folder), **(environ or {})}
        return git_program.run(self.folder, *arguments, environ=fixed, stdin=stdin).out


def _quoted(path: Path) -> str:
    """Return a path as a line of ``objects/info/alternates``."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{text}"\n'


def exported(repository: Repository, whole: Snapshot, held: Mapping[str, bytes]) -> Snapshot:
    """Return a snapshot without the files that ``export-ignore`` in its own attributes excludes.

    Args:
        repository: The repository.
        whole: The whole snapshot.
        held: The bytes of its objects by name.
    """
    attributes = (held[entry.name] for entry in whole.entries if entry.path.rpartition("/")[2] == _ATTRIBUTES)
    if not any(b"export-ignore" in text for text in attributes):
        return whole
    left_out = _ignored(Outbox(repository, [whole]), whole)
    return built([entry for entry in whole.entries if not is_in(entry.path, left_out)], whole.folders)


def _ignored(outbox: Outbox, whole: Snapshot) -> set[str]:
    folders = {str(parent) for entry in whole.entries for parent in Path(entry.path).parents if str(parent) != "."}
    asked = [*(f"{folder}/" for folder in folders), *(entry.path for entry in whole.entries)]
    outbox.git("read-tree", whole.tree)
    paths = "".join(f"{path}\0" for path in asked).encode("utf-8", "surrogateescape")
    said = outbox.git("check-attr", "--cached", "-z", "--stdin", "export-ignore", stdin=paths)
    fields = said.decode("utf-8", "surrogateescape").split("\0")
    return {path.rstrip("/") for path, value in zip(fields[::3], fields[2::3], strict=False) if value == "set"}

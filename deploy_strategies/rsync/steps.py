"""rsync: the module's folder as it is here; unchanged files are linked to the previous release."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.deploy.host_side.manifest import path_of
from dagster_module_builder.deploy.model.release import stage_folder
from dagster_module_builder.deploy.model.source import source_of
from dagster_module_builder.deploy.strategies.base import Strategy
from dagster_module_builder.deploy.strategies.release_folder import ReleaseFolder, for_conversation
from dagster_module_builder.programs import outside_programs

if TYPE_CHECKING:
    from dagster_module_builder.deploy.model.release import Staged

#: Never part of a release: version control, environments, caches, settings with secrets, and deployments.
EXCLUDED = (
    ".git", ".hg", ".svn", ".venv", "venv", ".env", ".env.*", "__pycache__", "*.pyc", "*.egg-info", ".*_cache", ".nox",
    ".tox", ".DS_Store", "/deploy", "/build", "/dist",
)  # fmt: skip


class Rsync(Strategy):
    """Sends the files that differ from those of the current release."""

    tools_here = ("rsync", "ssh")
    tools_there = ("rsync",)
    shares = True

    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Read the folder as it is."""
        source = source_of(self.deployment, module, allow_dirty=allow_dirty)
        return stage_folder(module, [*_excluded(own)], source)

    def is_bulky(self, staged: Staged) -> bool:
        """Tell whether all of the files are too large for the conversation."""
        return for_conversation(staged, staged.lines) is None

    def transfer(
        self,
        module: Path,
        own: Mapping[str, Any],  # noqa: ARG002 - what was staged says it all
        staged: Staged,
        release_folder: ReleaseFolder,
    ) -> None:
        """Send the files that the current release lacks, compared by their content and not by their times."""
        lacking = release_folder.lacking(staged)
        files = None if release_folder.again else for_conversation(staged, lacking)
        if files is not None:
            release_folder.put(files)
            return
        everything = len(lacking) == len(staged.lines) and not release_folder.again and staged.left_out is not None
        names, chosen = _all_but(staged.left_out or ()) if everything else _named(map(path_of, lacking))
        if release_folder.again:
            # A file may have changed with the same size and time, or have been made in the meantime.
            release_folder.run("find", release_folder.path, "-mindepth", "1", "-delete")
        command = _command(module, chosen, release_folder, release_folder.remote.bulk())
        outside_programs.ask(command, named=f"{release_folder.remote.address}: rsync", stdin=names)

    def commands(
        self,
        own: Mapping[str, Any],  # noqa: ARG002 - what was staged says it all
        staged: Staged,
        release_folder: ReleaseFolder,
        lacking: Sequence[str],
    ) -> list[str]:
        """Return the command of the transfer; files in the conversation need none."""
        if for_conversation(staged, lacking) is not None:
            return []
        _, chosen = _named(())
        return [
            shlex.join(_command(self.deployment.module, chosen, release_folder, release_folder.remote.address.ssh()))
        ]


def _command(module: Path, chosen: Sequence[str], release_folder: ReleaseFolder, ssh: Sequence[str]) -> list[str]:
    host = release_folder.remote.address.host
    target = f"[{host}]" if ":" in host else host
    # A changed file is based on the previous one; the files in the list differ even if size and time are equal.
    before = [f"--link-dest={release_folder.current}", "--ignore-times"] if release_folder.current else []
    return [
        "rsync", "--verbose", "--links", "--perms", "--times", "--protect-args", "--compress", "--timeout=30",
        "--chmod=D755,Fa+r,Fa-w", "--from0", *chosen, *before, "--rsh", shlex.join(ssh),
        "--", f"{module}/", f"{target}:{release_folder.path}/",
    ]  # fmt: skip


def _named(paths: Iterable[str]) -> tuple[bytes, list[str]]:
    """Return standard input and arguments that send exactly these files."""
    return _listed(paths), ["--no-implied-dirs", "--files-from=-"]


def _all_but(left_out: Iterable[str]) -> tuple[bytes, list[str]]:
    """Return standard input and arguments that send all other files, which takes half the time of a list of files."""
    chosen = ["--recursive", "--prune-empty-dirs", "--omit-dir-times", "--exclude-from=-"]
    return _listed(map(_exactly, left_out)), chosen


def _exactly(path: str) -> str:
    """Return a pattern for this path only (rsync(1): a backslash escapes only in a pattern with a wildcard)."""
    return "/" + (re.sub(r"[\\*?[]", r"\\\g<0>", path) if re.search(r"[*?[]", path) else path)


def _listed(names: Iterable[str]) -> bytes:
    return b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in names)


def _excluded(own: Mapping[str, Any]) -> list[str]:
    tests = [] if own.get("tests") else ["/tests"]
    return [*EXCLUDED, *tests, *own.get("exclude", ())]

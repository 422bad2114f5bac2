"""rsync: the module's folder as it is here, unchanged files shared with the release before."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_module_builder.errors import ToolError
from dagster_module_builder.release import stage_folder
from dagster_module_builder.version_control import source_of
from deploy_strategies.base import Place, Strategy

if TYPE_CHECKING:
    from dagster_module_builder.release import Staged

#: Never part of a release: version control, environments, caches, settings with secrets, and deployments.
EXCLUDED = (
    ".git", ".hg", ".svn", ".venv", "venv", ".env", ".env.*", "__pycache__", "*.pyc", "*.egg-info", ".*_cache", ".nox",
    ".tox", ".DS_Store", "/deploy", "/build", "/dist",
)  # fmt: skip


class Rsync(Strategy):
    """Sends the files that differ from those of the current release."""

    tools_here = ("rsync", "ssh")
    tools_there = ("rsync",)
    bulk = True

    def stage(self, module: Path, own: Mapping[str, Any], *, allow_dirty: bool) -> Staged:
        """Take in the folder as it is."""
        source = source_of(module, allow_dirty=allow_dirty)
        return stage_folder(module, [*_excluded(own)], source)

    def transfer(
        self,
        module: Path,
        own: Mapping[str, Any],  # noqa: ARG002 - what was staged says it all
        staged: Staged,
        place: Place,
    ) -> None:
        """Send what the current release has not."""
        command = [
            "rsync", "--links", "--perms", "--times", "--protect-args", "--compress", "--timeout=30",
            "--chmod=D755,Fa+r,Fa-w", "--no-implied-dirs", "--from0", "--files-from=-",
            "--rsh", shlex.join(place.remote.bulk()),
        ]  # fmt: skip
        if place.current:
            command.append(f"--link-dest={place.current}")
        if place.again:
            # A file may have changed without another size or time.
            command.append("--checksum")
        host = place.remote.address.host
        target = f"[{host}]" if ":" in host else host
        names = b"".join(path.encode("utf-8", "surrogateescape") + b"\0" for path in staged.paths)
        answer = subprocess.run(
            [*command, "--", f"{module}/", f"{target}:{place.folder}/"], input=names, capture_output=True, check=False
        )
        if answer.returncode:
            said = answer.stderr.decode("utf-8", "replace").strip()
            raise ToolError(f"{place.remote.address}: rsync failed: {said or answer.returncode}")


def _excluded(own: Mapping[str, Any]) -> list[str]:
    tests = [] if own.get("tests") else ["/tests"]
    return [*EXCLUDED, *tests, *own.get("exclude", ())]

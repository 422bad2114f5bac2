"""Commands as a user of this machine who is not root, and whose number is not 1000."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests import needs

UID = 1501

#: OpenSSH wants to know its user: for these commands alone, the machine does.
_KNOWN = """\
set -e
users=$(mktemp)
{ cat /etc/passwd; echo "ada:x:$1:$1:Ada:$HOME:/bin/sh"; } >"$users"
chmod 644 "$users"
mount --bind "$users" /etc/passwd
rm "$users"
shift
exec "$@"
"""

#: For these commands alone, a folder that only root may enter shows what the program runs from.
_SHOW = """\
set -e
hidden=$1; shift
held=$(mktemp -d)
mount --bind "$hidden" "$held"
mount -t tmpfs -o mode=755 tmpfs "$hidden"
while [ "$1" != -- ]; do
    mkdir -p "$hidden/$1"
    mount --bind "$held/$1" "$hidden/$1"
    shift
done
shift
umount "$held"
rmdir "$held"
exec "$@"
"""


def command(*arguments: str | Path) -> list[str]:
    """Return the command line that runs ``arguments`` as that user. Needs root."""
    needs.root()
    needs.programs("unshare", "setpriv", "mount")
    line = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--", *map(str, arguments)]
    return ["unshare", "--mount", "--", *_shown(["sh", "-c", _KNOWN, "sh", str(UID), *line])]


def reachable(*arguments: str | Path) -> list[str]:
    """Return the command line of a program whose children may become other users. Needs root."""
    return ["unshare", "--mount", "--", *_shown(list(map(str, arguments)))]


def _shown(line: list[str]) -> list[str]:
    for hidden, shown in _hidden().items():
        line = [
            "sh",
            "-c",
            _SHOW,
            "sh",
            str(hidden),
            *(str(folder.relative_to(hidden)) for folder in shown),
            "--",
            *line,
        ]
    return line


def _hidden() -> dict[Path, list[Path]]:
    """Return the folders that others may not enter, each with the folders below it that the program runs from."""
    hidden: dict[Path, list[Path]] = {}
    for shown in dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[2]]):
        closed = [folder for folder in reversed(shown.parents) if not folder.stat().st_mode & 0o001]
        if closed:
            hidden.setdefault(closed[0], []).append(shown)
    return hidden


def owned(folder: Path) -> Path:
    """Give a folder and all in it to that user."""
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, UID, UID, follow_symlinks=False)
    return folder

"""An SSH configuration that is committed with a module: it may say where hosts are, and must not run commands."""

from __future__ import annotations

import re
from pathlib import Path

from dagster_module_builder.base.errors import DamagedFileError

ALLOWED = ("Host", "HostName", "Port", "User", "IdentityFile", "ProxyJump")


def refuse_commands(path: Path) -> None:
    """Refuse a committed SSH configuration that says more than where hosts are: ``ssh_config(5)`` can run commands.

    Raises:
        DamagedFileError: It cannot be read, or has another keyword; the line is named.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        cure = "Correct 'ssh: config:' in deployment.yaml."
        raise DamagedFileError(path, None, f"it cannot be read ({error})", cure) from None
    for number, line in enumerate(lines, 1):
        text = line.strip(" \t\r\f")
        keyword = re.split(r"[ \t=]", text, maxsplit=1)[0]
        if text and not text.startswith("#") and keyword.lower() not in {name.lower() for name in ALLOWED}:
            raise DamagedFileError(
                path,
                number,
                f"{keyword!r} is not allowed in a committed file",
                f"Only {', '.join(ALLOWED)} are allowed. Move the rest to your own ~/.ssh/config.",
            )

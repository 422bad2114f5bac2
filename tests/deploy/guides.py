"""Follows a deployment's guide as a person does."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

NAME = "20260101T000000Z-by-hand"


def commands(guide: str) -> list[tuple[str, str]]:
    """Return the commands of the section ``By hand``, and for each block whether it is for this machine or the host."""
    section = guide.partition("## By hand")[2].partition("\n## ")[0]
    found: list[tuple[str, str]] = []
    where = ""
    for paragraph in re.split(r"\n\n+", section):
        if paragraph.startswith("    "):
            found.append((where, re.sub("(?m)^    ", "", paragraph)))
        elif told := re.findall(r"your machine|on the host", paragraph, re.IGNORECASE):
            where = told[-1].lower()
    return found


def follow(module: Path, folder: Path) -> None:
    """Type every command where it belongs."""
    steps = commands((folder / "DEPLOYMENT.md").read_text())
    first = {where: next(text for one, text in steps if one == where) for where in ("your machine", "on the host")}
    here = re.sub("(?m)^name=.*$", f"name={NAME}", first["your machine"])
    for where, text in steps:
        script = f"set -eu\n{here}\n{text if text != first['your machine'] else ''}"
        if where == "on the host":
            inner = f"set -eu\nname={NAME}\n{first[where]}\n{text}"
            script = f"{here}\nssh $options \"$host\" bash -s <<'INNER'\n{inner}\nINNER\n"
        done = subprocess.run(["bash", "-c", script], cwd=module, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{where}: {text}\n{done.stdout}\n{done.stderr}"

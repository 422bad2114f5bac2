"""Values of variables that are hard to write down, and how Compose reads them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.e2e import engine

PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQ+/x\nQ0FOQVJZPQ==\n-----END PRIVATE KEY-----\n"
#: Values that people have, each of which has to reach the process as it is.
WANTED = (
    "", "plain", "it's", 'say "hi"', "a # b", "C:\\Users\\x", "\\\\host\\share", "ends in \\", "pa$$word$1",
    "größe", PEM,
    json.dumps({"private_key": PEM, "path": "C:\\x"}), "{\"a\": \"b'c\"}", " spaced ", "\ttab\n", "both ' and \"",
)  # fmt: skip


def as_compose_reads(folder: Path, text: bytes) -> dict[str, str]:
    """Let Compose read an ``env_file``, and return what the container would get."""
    (folder / "in.env").write_bytes(text)
    (folder / "docker-compose.yml").write_text("services:\n  it:\n    image: it\n    env_file: [in.env]\n")
    command = [engine.compose_program(), "config", "--format", "json"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True, text=True)
    shown = json.loads(done.stdout)["services"]["it"].get("environment", {})
    return {name: value.replace("$$", "$") for name, value in shown.items()}

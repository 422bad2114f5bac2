"""Values that would break out of a pipeline, and the settings that a pipeline declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from dagster_module_builder.deploy.model.deployment import Deployment, read_deployment


def declared(module: Path, platform: str, **own: Any) -> Deployment:
    """Make a deployment that has no pipeline yet."""
    section = {"carries_out": "git", "platform": platform, "trigger": "push", "tool": "dagster-module-builder==0.1.0"}
    data = {
        "version": 1, "deployment": "yoda", "client": "Yoda", "module": module.name, "strategy": "ci-cd",
        "hosts": [{"host": "yoda.example"}], "base_path": "/srv/dagster", "dagster": {"url": "http://127.0.0.1:3000"},
        "ci-cd": {**section, **own},
    }  # fmt: skip
    folder = module / "deploy/yoda"
    folder.mkdir(parents=True)
    (folder / "deployment.yaml").write_text(yaml.safe_dump(data))
    (folder / ".env.deploy").touch(0o600)
    (folder / "known_hosts").touch()
    return read_deployment(folder)


#: Texts that end a string, a line or a command of YAML, Groovy, a shell or the platforms' own expressions.
BREAKS_OUT = [
    "a'b", 'a"b', "a\nb", "a\n", "a\rb", "a\tb", "a\\", "\\u0027", "$(touch oops)", "`touch oops`", "$HOME",
    "${{ secrets.X }}", "${a}", "$[[ inputs.x ]]", "a' || true", "a'; touch oops; '", "a\u2028b",
    "--option", "-x", "a\x00",
]  # fmt: skip

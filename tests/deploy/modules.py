"""Modules to deploy, as small as a module can be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.deploy.strategies.release_folder import FIRST
from tests.deploy.dagster_host import CONSTRAINTS
from tests.deploy.sshd import SshHost, user

DEFINITIONS = """\
import dagster as dg

from .value import VALUE


@dg.asset
def number() -> int:
    return VALUE


defs = dg.Definitions(assets=[number], jobs=[dg.define_asset_job("numbers")])
"""


def make_module(root: Path, name: str = "sales-report", value: int = 1) -> Path:
    """Make a module below ``projects/``."""
    snake = name.replace("-", "_")
    module = root / "projects" / name
    package = module / "src" / f"{snake}_dagster"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "definitions.py").write_text(DEFINITIONS)
    (package / "value.py").write_text(f"VALUE = {value}\n")
    (module / "pyproject.toml").write_text(
        f'[project]\nname = "{name}-dagster"\nversion = "0.1.0"\ndependencies = []\n'
    )
    local = module / "workspace/local"
    local.mkdir(parents=True)
    (local / "workspace.yaml").write_text(
        f"load_from:\n  - python_package:\n      package_name: {snake}_dagster.definitions\n"
        f"      working_directory: ../../projects/{name}/src\n      location_name: {snake}\n"
    )
    (local / ".env").write_text(f"{snake.upper()}_TOKEN='local'\n")
    (module / "tests").mkdir()
    (module / "tests/test_it.py").write_text("def test_it():\n    pass\n")
    return module


def make_deployment(
    module: Path,
    hosts: list[SshHost],
    urls: list[str],
    python: str,
    name: str = "yoda",
    strategy: str = "rsync",
    **changes: Any,
) -> Path:
    """Write a deployment of a module."""
    folder = module / "deploy" / name
    folder.mkdir(parents=True)
    snake = module.name.replace("-", "_")
    data = {
        "version": 1,
        "deployment": name,
        "client": "Yoda Ltd",
        "module": module.name,
        "strategy": strategy,
        "hosts": [{"host": host.address, "port": host.port, "url": url} for host, url in zip(hosts, urls, strict=True)],
        "user": user(),
        "base_path": "~/srv",
        "ssh": {"identity_file": str(hosts[0].client_key)},
        "dagster": {"kind": "native", "url": "http://127.0.0.1:9"},
        "environment": {"kind": "host", "python": python},
        **changes,
    }
    (folder / "deployment.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    env = folder / ".env.deploy"
    handle = os.open(env, os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"{snake.upper()}_TOKEN='s3cret-of-production'\n")
    (folder / "known_hosts").write_text("".join(host.known_hosts_line for host in hosts))
    return folder


def require_dagster(module: Path) -> None:
    """Let the module require Dagster, in the locked release."""
    lock = CONSTRAINTS.read_text()
    (version,) = [line.split("==")[1].split()[0] for line in lock.splitlines() if line.startswith("dagster==")]
    pyproject = module / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("[]", f'["dagster=={version}"]'))
    (module / "constraints.txt").write_text(lock)


def set_value(module: Path, value: object) -> None:
    """Change what the module's asset gives."""
    (path,) = module.glob("src/*/value.py")
    path.write_text(f"VALUE = {value}\n")


def make_much(module: Path) -> None:
    """Give the module more than travels in the conversation: OpenSSH's connection is waited for."""
    (module / "much").write_bytes(bytes(FIRST + 1))


def by_rsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rsync carry the few small files of a module, too."""
    for limit in ("FEW", "FIRST"):
        monkeypatch.setattr(f"dagster_module_builder.deploy.strategies.release_folder.{limit}", -1)


def simplify(module: Path) -> Path:
    """Let the module's definitions load without Dagster, for the stand-in."""
    (path,) = module.glob("src/*/definitions.py")
    path.write_text("from .value import VALUE\n\ndefs = VALUE\n")
    return module

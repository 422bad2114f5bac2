"""The host's side in this process, below a separate folder, with every step that lasts written down."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.deploy.host_side.client import Client
from dagster_module_builder.deploy.host_side.dagster import Dagster
from dagster_module_builder.deploy.host_side.host import Host
from tests.deploy import spread
from tests.deploy.host_driver import MODULE
from tests.deploy.quick_dagster import QuickDagster


class NearClient(Client):
    """A client that is there until a test says otherwise: its threads would end this process with it."""

    def listen(self) -> None:
        """Hear nothing."""

    watch = breathe = listen

    def said(self) -> str:
        """Return what it was told."""
        assert isinstance(self.answers, io.BytesIO)
        return self.answers.getvalue().decode()


@dataclass
class Near:
    """A host in this process.

    Attributes:
        base: Its base path.
        dagster: The stand-in for its Dagster.
        host: What the host's side works on.
        client: Who asks.
        steps: Each rename, removal and sync, with paths relative to the base.
    """

    base: Path
    dagster: QuickDagster
    host: Host
    client: NearClient
    steps: list[str] = field(default_factory=list)

    @property
    def there(self) -> Path:
        """What the host holds of the module."""
        return self.base / "modules" / MODULE


@pytest.fixture
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Near]:
    base = tmp_path / "srv"
    (base / "modules").mkdir(parents=True)
    spread.fill(base)
    dagster = QuickDagster(base)
    dagster.reload()
    client = NearClient(io.BytesIO(), io.BytesIO())
    host = Host(client)
    host.base, host.dagster = str(base), Dagster(dagster.url)
    host.shared = [str(base / "workspace.yaml"), str(base / ".env")]
    made = Near(base, dagster, host, client)
    for name in ("rename", "unlink", "fsync", "chown"):
        monkeypatch.setattr(os, name, noting(getattr(os, name), name, made))
    yield made
    dagster.stop()


def noting(call: Callable[..., Any], name: str, near: Near) -> Callable[..., Any]:
    """Return a function of ``os`` that also writes down what it did."""

    def noted(*arguments: Any, **options: Any) -> Any:
        paths = [str(Path(f"/proc/self/fd/{one}").readlink()) if name == "fsync" else str(one) for one in arguments]
        size = f" {os.fstat(arguments[0]).st_size}" if name == "fsync" and Path(paths[0]).is_file() else ""
        answer = call(*arguments, **options)
        text = " ".join([name, *paths]) + size
        near.steps.append(text.replace(f"{near.base}/", "").replace(str(near.base), "."))
        return answer

    return noted


def in_order(found: list[str], *wanted: str) -> None:
    """See that these steps come one behind the other."""
    rest = iter(found)
    for step in wanted:
        assert step in rest, f"{step} is not behind those before it in\n" + "\n".join(found)

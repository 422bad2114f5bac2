"""A deployment by docker, step by step: an image with Dagster, a registry, and a host with a separate engine.

    python benchmarks/docker_deploy.py [--repeat 3] [--without-registry] [--json FILE]

The host's sshd, Docker Engine and Dagster are real, and everything is on this machine. ``first`` finds neither an image
on the host nor one in the registry, so that all layers travel; what is built comes from the builder's cache, if it has
that. ``one file`` is the next commit. Needs root and Debian's ``docker-registry``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import Options, deploy
from dagster_module_builder.deploy.model.deployment import find
from tests.deploy import sshd
from tests.deploy.dagster_host import DagsterHost, lock_dagster
from tests.deploy.host_engine import environ_of, forget_images, host_engine
from tests.deploy.modules import make_module, set_value
from tests.deploy.registry import registry
from tests.e2e import images
from tests.e2e.engine import running

FILES = 60


@dataclass
class Steps:
    """When which step began: this machine's and the host's follow each other."""

    begun: list[tuple[float, str]] = field(default_factory=list)

    def listen(self, _: str, step: str) -> None:
        self.begun.append((time.perf_counter(), step))

    def seconds(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for (start, step), (end, _) in itertools.pairwise(self.begun):
            found[step] = found.get(step, 0.0) + end - start
        return {step: round(seconds, 2) for step, seconds in found.items() if seconds >= 0.005}


@contextlib.contextmanager
def workspace(*, without_registry: bool) -> Iterator[tuple[Path, Path]]:
    """Give a workspace and its module, which is deployed to a host."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dmb-")))
        engine = stack.enter_context(running())
        os.environ.update({key: engine.environ[key] for key in ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_BUILDKIT")
                           if key in engine.environ})  # fmt: skip
        python_image = images.stack()["PYTHON_IMAGE"]
        images.provide(engine, python_image)
        there = stack.enter_context(host_engine(engine))
        address = stack.enter_context(registry(folder / "registry"))
        (host,) = stack.enter_context(sshd.hosts(folder / "hosts", environ=environ_of(there)))
        dagster = DagsterHost(host.base)
        dagster.share(1000)
        stack.callback(dagster.stop)
        dagster.start(daemon=False)
        root = folder / "workspace"
        module = make_module(root)
        lock_dagster(module)
        for number in range(FILES - sum(path.is_file() for path in module.rglob("*"))):
            (module / f"src/sales_report_dagster/file{number}.py").write_text(f"# file {number}\n" + "x = 1\n" * 150)
        answers = {
            "deployment": "yoda", "client": "Yoda", "hosts": f"{host.address}:{host.port}", "base_path": "~/srv",
            "identity_file": str(host.client_key), "user": sshd.user(), "dagster_url": dagster.url,
            "registry": "none" if without_registry else address, "python_image": python_image.name,
            "storage": str(folder / "storage"), "dagster_home": str(dagster.home), "image": f"benchmark-{dagster.port}",
        }  # fmt: skip
        made = configure(root, module, "docker", answers)
        (made.folder / "known_hosts").write_text(host.known_hosts_line)
        settings = made.folder / ".env.deploy"
        settings.write_text(settings.read_text().replace("TOKEN=''", "TOKEN='s3cret'"))
        (host.base / "modules").mkdir(parents=True)
        (root / ".gitignore").write_text(".env*\n__pycache__/\n")
        subprocess.run(["git", "init", "-q", root], check=True)
        stack.callback(forget_images, engine, f"benchmark-{dagster.port}")
        yield root, module


def commit(root: Path) -> None:
    settings = ["-c", "user.name=x", "-c", "user.email=x@x"]
    for arguments in (["add", "-A"], ["commit", "-qm", "x"]):
        subprocess.run(["git", *settings, *arguments], cwd=root, check=True)


def measure(root: Path, module: Path, repeat: int) -> list[dict[str, object]]:
    """Return a row for the first deployment, and one with the medians of those that follow."""
    made: list[tuple[float, dict[str, float]]] = []
    for turn in range(repeat + 1):
        set_value(module, turn)
        commit(root)
        steps = Steps()
        started = time.perf_counter()
        deploy(find(root, "yoda"), Options(settle=False), steps.listen)
        made.append((round(time.perf_counter() - started, 2), steps.seconds()))
    (first, *later) = made
    names = list(dict.fromkeys(name for _, steps in later for name in steps))
    medians = {name: round(statistics.median(steps.get(name, 0.0) for _, steps in later), 2) for name in names}
    return [
        {"case": "first", "all": first[0], "steps": first[1]},
        {"case": "one file", "all": round(statistics.median(whole for whole, _ in later), 2), "steps": medians},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--without-registry", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with workspace(without_registry=given.without_registry) as (root, module):
        rows = measure(root, module, given.repeat)
    for row in rows:
        print(json.dumps(row), flush=True)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()

"""Files in unexpected shapes: a clear refusal or a plan, never a traceback."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dagster_module_builder.base import settings
from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.workspaces.clashes import refuse_clashes
from dagster_module_builder.workspaces.module_fragments import read_fragments
from dagster_module_builder.workspaces.planning import plan_changes
from dagster_module_builder.workspaces.workspace import read_workspace
from tests.corpus.workspaces import Case, Modules, bytes_of, cases

VALUES: tuple[Any, ...] = (
    None, [], {}, "x", "", 0, 1.5, True, [None], {"a": None}, [{}], {"a": {"b": [1]}}, ["a=b"], "${X}", "${", "a:b:c",
    "/x:/y", [["x"]], -1, {1: 2}, ["${A:-b}:/c"], 'dagster-webserver -w "unclosed', "services",
)  # fmt: skip
DOCKER_LINES = (
    "FROM", "FROM a as", "ENV", "ENV A", 'ENV A="x', "COPY", "COPY x", "USER", "CMD [", "ENTRYPOINT", "WORKDIR", "ARG",
    "RUN <<E", "HEALTHCHECK NONE", "\\",
)  # fmt: skip
FRAGMENTS = ("docker-compose.yml", "workspace.yaml")
SHARED = ("docker-compose.yml", "dagster.yaml", "workspace.yaml")


def paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths(child, (*path, key))


def misshape(file: Path, chance: random.Random) -> None:
    """Put something unexpected somewhere into a YAML file."""
    data = yaml.safe_load(file.read_bytes()) if file.exists() else None
    places = list(paths(data))
    if places:
        *above, last = chance.choice(places)
        parent = data
        for key in above:
            parent = parent[key]
        parent[last] = copy.deepcopy(chance.choice(VALUES))
        file.write_text(yaml.safe_dump(data, sort_keys=False))


def misshape_dockerfile(file: Path, chance: random.Random) -> None:
    lines = file.read_text().splitlines() if file.exists() else []
    if lines:
        lines[chance.randrange(len(lines))] = chance.choice(DOCKER_LINES)
        file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.path.name)
def test_no_shape_leads_to_a_traceback(case: Case, tmp_path: Path, modules: Modules) -> None:
    chance = random.Random(case.path.name)
    for number in range(8):
        root = case.lay_out(tmp_path / str(number))
        modules.put(root, "sales-report", "forecast")
        services = root / settings.SERVICES
        for file in chance.sample(SHARED, chance.randint(1, 3)):
            misshape(services / file, chance)
        if chance.random() < 0.3:
            misshape_dockerfile(services / "Dockerfile", chance)
        for name in ("sales-report", "forecast"):
            fragments = root / settings.PROJECTS / name / settings.FRAGMENTS
            if chance.random() < 0.5:
                misshape(fragments / chance.choice(FRAGMENTS), chance)
            if chance.random() < 0.3:
                misshape_dockerfile(fragments / "dockerfile.snippet", chance)
        before = bytes_of(root)
        for name in ("sales-report", "forecast"):
            plan(root, name)
        assert bytes_of(root) == before


def plan(root: Path, name: str) -> None:
    with contextlib.suppress(BuilderError):
        workspace = read_workspace(root)
        given = read_fragments(workspace, root / settings.PROJECTS / name)
        refuse_clashes(workspace, [given])
        plan_changes(workspace, [given], [])

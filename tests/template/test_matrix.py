"""Modules with every pair of answers pass their own linters, types, definitions and tests."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.base import names
from tests import needs
from tests.template import environment
from tests.template.forked import Programs
from tests.template.refused_settings import refused_settings
from tests.template.rendering import TEMPLATE, Desk, Rendering

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.dagster, pytest.mark.matrix, pytest.mark.slow]

DATABASES = ("none", "postgresql", "mysql")
LEVELS = ("quick", "standard", "enterprise")
STARTERS = ("sample", "empty")


@dataclass(frozen=True)
class Variant:
    """The answers of one module; its name tells them."""

    name: str
    answers: dict[str, str] = field(hash=False)


def variants() -> list[Variant]:
    # Each pair of a database, a level and a starter is among every second one; `nox -s sweeps` tests all.
    combinations = itertools.product(enumerate(DATABASES), enumerate(LEVELS), enumerate(STARTERS))
    plain = [
        Variant(f"{database}-{level}-{starter}-data", {"database": database, "governance": level, "starter": starter})
        for (i, database), (j, level), (k, starter) in combinations
        if os.environ.get("MATRIX") == "all" or (i + j + k) % 2 == 0
    ]
    every_requirement = {f"requires_{name}": "yes" for name in ("http", "s3", "gcs", "images", "pdf", "office")}
    own = {"code_server": "own", "executor": "multiprocess"}
    return [
        *plain,
        Variant("duckdb-quick-empty-data", {"database": "duckdb", "governance": "quick", "starter": "empty"}),
        Variant("duckdb-standard-sample-data", {"database": "duckdb", "governance": "standard"}),
        Variant("own-server", {"database": "postgresql", "governance": "enterprise", **own}),
        Variant("own-server-alone", {"governance": "quick", "starter": "empty", **own}),
        Variant("x" * 40, {"database": "mysql", "governance": "enterprise", **every_requirement}),
        Variant("q", {"database": "duckdb", "title": 'it\'s "quoted" \\ text', "governance": "enterprise"}),
    ]


@pytest.fixture(scope="session")
def module_environment() -> environment.Environment:
    needs.registry()
    return environment.made()


@pytest.fixture(scope="session")
def render(shared_desk: Desk) -> Callable[[Variant], Rendering]:
    done: dict[str, Rendering] = {}

    def rendered(variant: Variant) -> Rendering:
        if variant.name not in done:
            done[variant.name] = shared_desk.rendered(variant.name, **variant.answers)
        return done[variant.name]

    return rendered


@pytest.fixture(scope="session")
def programs(module_environment: environment.Environment) -> Iterator[Programs]:
    started = Programs(module_environment.python)
    yield started
    started.close()


def away(home: Path, programs: Path) -> dict[str, str]:
    """Return variables away from any user's settings."""
    own = {"HOME": str(home), "DAGSTER_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    return {"PATH": f"{programs}:{os.environ['PATH']}", **own}


def check_forked(rendering: Rendering, programs: Programs, *command: str, tmp_path: Path) -> None:
    """Run a program in the module, as ``check`` does."""
    environ, output = away(tmp_path, programs.folder), tmp_path / "output"
    code = programs.run(*command, folder=rendering.module, environ=environ, output=output)
    assert code == 0, output.read_text()


def check(rendering: Rendering, *command: object, tmp_path: Path, **variables: str) -> None:
    """Run a program in the module, away from any user's settings; fail the test with all that it said."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=rendering.module,
        env={**away(tmp_path, Path(str(command[0])).parent), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_a_module_is_formatted_linted_and_passes_its_own_tests(
    variant: Variant,
    render: Callable[[Variant], Rendering],
    module_environment: environment.Environment,
    programs: Programs,
    tmp_path: Path,
):
    rendering = render(variant)

    check(rendering, module_environment.program("ruff"), "check", "--no-cache", tmp_path=tmp_path)
    check(rendering, module_environment.program("ruff"), "format", "--check", "--no-cache", tmp_path=tmp_path)
    pytest_options = ("-q", "-W", "error", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "tests"))
    check_forked(rendering, programs, "pytest", *pytest_options, tmp_path=tmp_path)


@pytest.mark.parametrize("variant", variants(), ids=lambda variant: variant.name)
def test_dg_finds_the_definitions(
    variant: Variant, render: Callable[[Variant], Rendering], programs: Programs, tmp_path: Path
):
    check_forked(render(variant), programs, "dg", "check", "defs", tmp_path=tmp_path)


@pytest.mark.parametrize(("database", "starter"), [*itertools.product((*DATABASES, "duckdb"), STARTERS)])
def test_the_longest_name_breaks_no_line(desk: Desk, database: str, starter: str):
    answers = {"database": database, "starter": starter, "governance": "enterprise", "code_server": "own"}
    rendering = desk.rendered("x" * names.LONGEST_NAME, **answers)

    for command in (["check"], ["format", "--check"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, "--no-cache", rendering.module], check=True)


def test_every_module_is_strictly_typed(
    render: Callable[[Variant], Rendering], module_environment: environment.Environment, tmp_path: Path
):
    # One run for all: each module's package has its own name, and Dagster is analysed once.
    renderings = [render(variant) for variant in variants()]
    sources = [rendering.module / "src" for rendering in renderings]
    settings = ("--config-file", renderings[0].module / "pyproject.toml", "--cache-dir", tmp_path / "cache")

    paths = {"MYPYPATH": ":".join(map(str, sources))}
    check(renderings[0], module_environment.program("mypy"), *settings, *sources, tmp_path=tmp_path, **paths)


def test_no_module_has_a_setting_that_a_person_has_to_allow(render: Callable[[Variant], Rendering]):
    """FAULTS S5, S15: the template says only what a module may say."""
    refused = {variant.name: refused_settings(render(variant).module) for variant in variants()}
    assert {name: settings for name, settings in refused.items() if settings} == {}


def test_every_file_of_the_template_is_rendered_by_some_variant(render: Callable[[Variant], Rendering]):
    renderings = [render(variant) for variant in variants()]
    source = TEMPLATE / "{{cookiecutter.name}}"
    named = {
        str(path.relative_to(source)).replace("{{cookiecutter.__package}}", "PACKAGE")
        for path in source.rglob("*")
        if path.is_file()
    }

    produced = {
        str(path.relative_to(rendering.module)).replace(rendering.package.name, "PACKAGE")
        for rendering in renderings
        for path in rendering.module.rglob("*")
        if path.is_file()
    }
    assert named <= produced

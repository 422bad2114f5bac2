"""Compose files are read here as Compose itself reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.adoption.repository import Repository
from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.compose.project_files import ProjectFiles, files_in, read_project, variables_in
from tests.adoption.cases import Case, cases
from tests.adoption.compose_reading import NotReadError, as_compose_reads, as_read_here
from tests.adoption.made_projects import EXTENDS, EXTENDS_FILE, OVERRIDE, ProjectMaker
from tests.e2e.engine import compose_program


@pytest.fixture(scope="session")
def compose() -> Path:
    """Compose 2; reading a compose file needs no engine."""
    return compose_program()


def projects(case: Case) -> list[tuple[ProjectFiles, bool]]:
    """Return every project of a case, and whether Compose must be told its files."""
    repository = Repository(case.tree)
    folders = dict.fromkeys(path.parent for path in repository.named(r".*compose.*\.ya?ml"))
    files = {folder: files_in(folder, variables_in(folder, repository.read), repository.read) for folder in folders}
    found = [(read_project(paths, repository.read, folder), False) for folder, paths in files.items() if paths]
    answered = [case.tree / name for name in case.expected.get("compose", ())]
    if answered and answered not in [[*project.files] for project, _ in found]:
        found.append((read_project(answered, repository.read), True))
    return found


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_project_is_read_as_compose_reads_it(case: Case, compose: Path) -> None:
    try:
        read = projects(case)
    except DamagedFileError:
        with pytest.raises(NotReadError):
            as_compose_reads(compose, _unreadable(case), named=False)
        return
    for project, named in read:
        assert as_read_here(project) == as_compose_reads(compose, project, named=named)


def _unreadable(case: Case) -> ProjectFiles:
    """Return a project whose files cannot be read here, as far as Compose needs it to start."""
    return read_project([case.tree / "compose.yaml"], lambda path: b"" if path.suffix == ".yaml" else None)


@pytest.mark.parametrize("way", [OVERRIDE, EXTENDS, EXTENDS_FILE])
@pytest.mark.parametrize("seed", range(12))
def test_files_are_merged_as_compose_merges_them(seed: int, way: str, compose: Path, tmp_path: Path) -> None:
    files = ProjectMaker(seed).make(tmp_path, way)
    project = read_project(files, lambda path: path.read_bytes() if path.is_file() else None)
    assert as_read_here(project) == as_compose_reads(compose, project, named=True)


def test_enough_of_the_cases_are_read_with_all_of_composes_ways() -> None:
    texts = [path.read_text() for path in Path(__file__).parent.glob("cases/*/tree/**/*.y*ml")]
    for way in ("include:", "extends:", "!reset", "!override", "<<:", "env_file:", "configs:", "profiles:"):
        assert any(way in text for text in texts), way

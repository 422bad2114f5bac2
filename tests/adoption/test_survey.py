"""What is found in repositories of other people's making, as they lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dagster_module_builder.adoption.report import rows, to_json
from tests.adoption.cases import Case, cases, said


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_repository_is_read_as_it_lies(case: Case) -> None:
    found = case.surveyed()
    expected = case.expected
    for key in ("what", "structure_of", "answers", "reasons", "not_added"):
        expected.pop(key, None)
    assert said(found) == expected


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_what_was_found_is_said_to_people_and_to_programs(case: Case) -> None:
    found = case.surveyed()
    table = rows(found)
    assert all(row.found and row.why for row in table)
    assert {service.name for service in found.services} <= {row.found.rpartition(" ")[2] for row in table}
    assert to_json(found)["adoptable"] is found.is_adoptable


@pytest.mark.parametrize("case", [case for case in cases() if "proposed" in case.expected], ids=lambda case: case.name)
def test_a_proposed_workspace_file_loads_what_the_command_lines_load(case: Case) -> None:
    """The proposal, written where it says, is what the survey then finds: with it, the same code is loaded."""
    found = case.surveyed()
    assert found.proposed_workspace
    entries = yaml.safe_load(found.proposed_workspace)["load_from"]
    named = {value for entry in entries for options in entry.values() for value in options.values()}
    targets = [target.value for service in found.services if service.loads_code for target in service.targets]
    names = targets or [location.name for location in found.locations]
    assert names
    assert all(any(str(one).endswith(name) for one in named) for name in names)


def test_the_corpus_has_what_people_have() -> None:
    """Counted on what is found, not on what the cases are called."""
    found = {case.name: case.surveyed() for case in cases()}
    named = {case.expected["structure_of"].partition(",")[0] for case in cases() if "structure_of" in case.expected}
    compose = [one for one in found.values() if one.compose]
    loading = {name: [s for s in one.services if s.loads_code] for name, one in found.items()}
    several = [one for one in compose if len({s.image.dockerfile for s in one.services if s.image.dockerfile}) > 1]
    assert len(found) >= 80
    assert len(named) >= 50
    assert sum(one.compose.files[0].parent != Path() for one in compose if one.compose) >= 10
    assert len(several) >= 10
    assert sum(any(s.targets for s in services) for services in loading.values()) >= 10
    assert sum(bool(services) and all(s.image.is_prebuilt for s in services) for services in loading.values()) >= 10
    assert sum(len(one.compose.all_files) > 1 for one in compose if one.compose) >= 5
    assert sum(bool(one.with_role("worker")) for one in compose) >= 5
    assert sum(one.kind == "native" for one in found.values()) >= 5


def test_most_repositories_are_adopted_as_they_lie() -> None:
    """All but those that run no Dagster which this program could add to."""
    found = [case.surveyed() for case in cases()]
    with_dagster = [one for one in found if one.services or one.kind]
    adopted = [one for one in with_dagster if one.is_adoptable]
    assert len(adopted) / len(with_dagster) >= 0.85

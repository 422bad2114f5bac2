"""The file of a dg workspace takes projects in every form that dg reads, and gives back its bytes."""

from __future__ import annotations

import random

import pytest

from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.shared_files.formats import dg_toml
from dagster_module_builder.shared_files.formats.shared_file import Contribution
from dagster_module_builder.shared_files.formats.toml_text import parsed
from tests.engine.merging import merged, without

FORMS = {
    "tables": '[workspace]\n\n[[workspace.projects]]\npath = "a"\n\n# What follows is not of projects.\n[cli]\nx = 1\n',
    "no project": 'directory_type = "workspace"\n\n[workspace]\n',
    "no workspace": 'directory_type = "workspace"',
    "an array": '[workspace]\nprojects = [{path = "a"}, { path = "b" }]  # two\n[cli]\n',
    "an empty array": "[workspace]\nprojects = []",
    "carriage returns": '[workspace]\r\nprojects = [\r\n  {path = "a"}, # c, d\r\n  {path = "b"}  # e, f\r\n]\r\n',
    "a last comma": '[workspace]\nprojects = [\n  {path = "a"},\n]\n',
    "an end behind an item": '[workspace]\nprojects = [\n  {path = "a"},\n  {path = "b"}]\n',
    "a dotted key": 'workspace.projects = [{path="a"}]\n',
    "an inline table": 'workspace = { projects = [{path="a"}] }\n',
    "texts like markers": "a = \"\"\"\n# BEGIN: sales\n# END: sales\n\"\"\"\nb = '''x]\n[y'''\n[workspace]\n",
    "quoted keys": '["workspace"]\n"projects" = [ # none yet\n]\n',
    "a table of scaffolding": '[workspace.scaffold_project_options]\nx = [[1, 2], {y = "]"}]\n[other]\nz = 1\n',
    "pyproject": (
        '[project]\nname = "x"\n\n[tool.dg]\ndirectory_type = "workspace"\n\n[[tool.dg.workspace.projects]]\n'
        'path = "a"\n\n[tool.uv.workspace]\nmembers = ["p/*"]\n'
    ),
    "pyproject without projects": '[tool.dg]\ndirectory_type = "workspace"\n\n[tool.uv.workspace]\nmembers = ["p/*"]\n',
    "pyproject with an array": '[tool.dg.workspace]\nprojects = [{path = "a"}]\n[tool.uv]\nx = 1\n',
}
REFUSED = {
    "workspace = {scaffold_project_options = {}}\n": (1, r"write it as \[workspace\]"),
    "# One\nworkspace = 1\n": (2, r"write it as \[workspace\]"),
    '[tool]\ndg.directory_type = "workspace"\n': (2, r"write it as \[tool.dg\]"),
    "[workspace]\na = \n": (2, "this is not TOML"),
}


def given(text: str, *markers: str) -> dict[str, list[Contribution]]:
    in_pyproject = "tool" in parsed(text)
    return {each: dg_toml.contributions(f"projects/{each}", in_pyproject=in_pyproject) for each in markers}


@pytest.mark.parametrize("form", FORMS)
def test_projects_come_and_go_byte_for_byte(form: str) -> None:
    text = FORMS[form]
    before = dg_toml.projects(text.encode())
    both = merged(dg_toml.FILE, text.encode(), given(text, "sales", "notes"))
    assert dg_toml.projects(both.text or b"") == [*before, "projects/notes", "projects/sales"]
    one = without(dg_toml.FILE, both, "notes")
    assert dg_toml.projects(one or b"") == [*before, "projects/sales"]
    assert without(dg_toml.FILE, both, "notes", "sales") == text.encode()


@pytest.mark.parametrize("form", FORMS)
def test_nothing_else_is_said_than_before(form: str) -> None:
    text = FORMS[form]
    after = parsed(merged(dg_toml.FILE, text.encode(), given(text, "sales")).text or b"")
    settings = after["tool"]["dg"] if "tool" in after else after
    assert settings["workspace"]["projects"].pop() == {"path": "projects/sales"}
    before = parsed(text)
    owner = before.setdefault("tool", {}).setdefault("dg", {}) if "tool" in before else before
    owner.setdefault("workspace", {}).setdefault("projects", [])
    assert after == before


@pytest.mark.parametrize("form", [form for form in FORMS if form.startswith("pyproject")])
def test_dgs_tables_stay_together_in_pyproject(form: str) -> None:
    """dg refuses its tables in pyproject.toml if another program's stand between them."""
    text = FORMS[form]
    lines = (merged(dg_toml.FILE, text.encode(), given(text, "sales")).text or b"").decode().splitlines()
    own = [line.strip("[]").startswith("tool.dg") for line in lines if line.startswith("[")]
    assert own.index(False, own.index(True)) > max(at for at, is_own in enumerate(own) if is_own)


@pytest.mark.parametrize("text", REFUSED)
def test_a_form_that_takes_no_project_is_refused_with_its_line(text: str) -> None:
    line, reason = REFUSED[text]
    with pytest.raises(DamagedFileError, match=rf":{line}: .*{reason}"):
        merged(
            dg_toml.FILE, text.encode(), {"sales": dg_toml.contributions("s", in_pyproject=text.startswith("[tool"))}
        )


@pytest.mark.parametrize("seed", range(60))
def test_any_array_is_given_back(seed: int) -> None:
    text = made(random.Random(seed))
    before = dg_toml.projects(text.encode())
    both = merged(dg_toml.FILE, text.encode(), given(text, "sales", "notes"))
    assert dg_toml.projects(both.text or b"") == [*before, "projects/notes", "projects/sales"], text
    assert without(dg_toml.FILE, both, "sales", "notes") == text.encode()


def made(chance: random.Random) -> str:
    """Return an array of projects with blanks, comments and line ends wherever TOML takes them."""

    def blank() -> str:
        return "".join(chance.choice(["", " ", "\n", "\t", "# a, ] comment\n", "\n  "]) for _ in range(2))

    items = [f'{{ path = "p{number}" }}' for number in range(chance.randint(0, 3))]
    inside = blank() + f"{blank()},{blank()}".join(items) + blank()
    last = f",{blank()}" if items and chance.random() < 0.5 else ""
    tail = chance.choice(["", " # end", "\n[cli]\nx = 1\n", "\nother = [1, 2]\n"])
    return f"[workspace]\nprojects = [{inside}{last}]{tail}"

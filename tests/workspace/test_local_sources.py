"""Requirements that come from folders of this machine: what the image would lack is refused, with a cure that works."""

from __future__ import annotations

import re
import textwrap
from typing import TYPE_CHECKING

import pytest

from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.compose.image import Image
from dagster_module_builder.health.validate import validate
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.external_checks import sources_reach_the_image
from dagster_module_builder.workspaces.initialize import initialize
from dagster_module_builder.workspaces.remove import remove_module
from tests.engine.folders import make_module, shared

if TYPE_CHECKING:
    from pathlib import Path

PATH = 'dependencies = ["acme"]\n[tool.uv.sources]\nacme = {path = "../../libs/acme"}\n'
SNIPPET = textwrap.dedent("""\
    COPY projects/sales/pyproject.toml /opt/dagster/modules/sales/pyproject.toml
    RUN uv pip install --system -r /opt/dagster/modules/sales/pyproject.toml
    """).encode()
REFUSED = {
    "a path": (PATH, "acme comes from ../../libs/acme, which the image does not have"),
    "an editable path": (PATH.replace('acme"}', 'acme", editable = true}'), "acme comes from ../../libs/acme"),
    "one of several sources": (PATH.replace("{", "[{").replace("}", "}]"), "acme comes from ../../libs/acme"),
    "a path outside": (PATH.replace("../../libs", "../../../libs"), "move it into"),
    "a member": ('dependencies = ["acme"]\n[tool.uv.sources]\nacme = {workspace = true}\n', "member of a uv workspace"),
    "a URL": ('dependencies = ["acme @ file:///srv/acme"]\n', "acme comes from /srv/acme"),
    "worked out": ('dynamic = ["dependencies"]\n', "computed when it is built"),
}
ACCEPTED = {
    "an index": 'dependencies = ["acme>=1"]\n',
    "git": 'dependencies = ["acme"]\n[tool.uv.sources]\nacme = {git = "https://example.org/acme"}\n',
    "a path that is not required": 'dependencies = []\n[tool.uv.sources]\nacme = {path = "../../libs/acme"}\n',
    "a version that is worked out": 'dynamic = ["version"]\ndependencies = []\n',
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    initialize(root := tmp_path / "ws")
    (root / "libs/acme").mkdir(parents=True)
    (root / "libs/acme/pyproject.toml").write_text('[project]\nname = "acme"\nversion = "1"\n')
    return root


def module(root: Path, project: str) -> None:
    folder = make_module(root, "sales", dockerfile=SNIPPET)
    version = "" if '"version"' in project else 'version = "1"\n'
    (folder / "pyproject.toml").write_text(f'[project]\nname = "sales"\n{version}{project}')


def add(root: Path) -> None:
    add_module(root, "sales", checks=[sources_reach_the_image])


@pytest.mark.parametrize(("project", "said"), REFUSED.values(), ids=REFUSED)
def test_what_the_image_would_lack_is_refused(root: Path, project: str, said: str) -> None:
    """FAULTS C4: `add` refuses and `validate` finds what no image of the workspace could be built with."""
    module(root, project)
    before = shared(root)
    with pytest.raises(ConflictError, match=re.escape(said)):
        add(root)
    assert shared(root) == before
    add_module(root, "sales")
    (error,) = [finding for finding in validate(root, check=False) if finding.severity == "error"]
    assert said in error.message
    assert error.where.startswith(str(root / "projects/sales"))


@pytest.mark.parametrize("project", ACCEPTED.values(), ids=ACCEPTED)
def test_what_needs_no_folder_is_accepted(root: Path, project: str) -> None:
    module(root, project)
    add(root)


def test_the_cure_that_is_named_works_and_is_taken_out_again(root: Path) -> None:
    """FAULTS C4: the lines that the refusal names bring the folder to where uv looks for it in the image."""
    module(root, PATH)
    with pytest.raises(ConflictError) as refused:
        add(root)
    ignored, copied = re.findall(r"a line '([^']+)'", str(refused.value))
    assert copied == "COPY libs/acme /opt/dagster/libs/acme"
    file = root / "services/dagster/Dockerfile"
    file.write_text(file.read_text().replace("# The modules' system", f"{copied}\n\n# The modules' system"))
    with pytest.raises(ConflictError, match="does not have"):
        add(root)
    with (root / ".dockerignore").open("a") as patterns:
        patterns.write(f"{ignored}\n")
    before = shared(root)
    add(root)
    remove_module(root, "sales")
    assert shared(root) == before


def test_what_the_image_copies_is_read_for_modules_that_need_it_only(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Dockerfile grows with the modules: read once for each of a thousand, it takes minutes."""
    module(root, ACCEPTED["an index"])
    monkeypatch.delattr(Image, "copied")
    add(root)

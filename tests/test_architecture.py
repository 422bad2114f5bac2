"""ARCHITECTURE.md is what the code is: its floors, the functions of its walks, its paths."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dagster_module_builder"
PAGE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")


def contracts() -> list[dict[str, object]]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]


def rooms(layers: object) -> list[set[str]]:
    assert isinstance(layers, list)
    return [set(layer.split(" | ")) for layer in layers]


def table(heading: str) -> list[set[str]]:
    """Return the rooms of a table, from its top floor to its lowest."""
    rows = re.findall(
        r"^\| \d+ \| ([^|]+) \|", PAGE.partition(heading)[2].partition("\n\n")[2].partition("\n\n")[0], re.MULTILINE
    )
    return [set(re.findall(r"`(\w+)`", row)) for row in rows]


@pytest.mark.parametrize(
    ("heading", "container"),
    [("`nox -s lint`", "dagster_module_builder"), ("Within `deploy/`:", "dagster_module_builder.deploy")],
)
def test_the_tables_are_the_contracts_of_imports(heading: str, container: str) -> None:
    (contract,) = (one for one in contracts() if one.get("containers") == [container])
    assert table(heading) == rooms(contract["layers"])


def test_every_name_in_the_walks_exists() -> None:
    named = re.findall(r"`([a-z_]+(?:\.[A-Za-z_]+)+)`", PAGE)
    assert len(named) > 25
    assert [name for name in named if not exists(name)] == []


def exists(name: str) -> bool:
    """Tell whether a module, or a name in a module, or a method of a class there, is in the package."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = PACKAGE.joinpath(*parts[:count])
        file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if file.is_file():
            return defined(ast.parse(file.read_text("utf-8")), parts[count:])
    return parts[-1] in {"yaml", "yml", "json", "add", "py"}


def defined(tree: ast.AST, names: list[str]) -> bool:
    if not names:
        return True
    for node in ast.iter_child_nodes(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        bound = {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)}
        if names[0] in bound:
            return defined(node, names[1:])
    return False


def test_every_path_on_the_page_exists() -> None:
    named = re.findall(r"`([\w.-]+/[\w./-]*)`", PAGE)
    paths = [path for path in named if any((top / path.partition("/")[0]).is_dir() for top in (ROOT, PACKAGE))]
    assert len(paths) > 15
    assert [path for path in paths if not ((ROOT / path).exists() or (PACKAGE / path).exists())] == []


def test_an_import_that_points_up_is_refused(tmp_path: Path) -> None:
    for name in ("dagster_module_builder", "deploy_strategies"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    lint = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    assert subprocess.run(lint, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    with (tmp_path / "dagster_module_builder/base/ports.py").open("a") as file:
        file.write("\nfrom dagster_module_builder.workspaces import planning\n")
    (tmp_path / "dagster_module_builder/attic.py").write_text("")
    refused = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    said = " ".join(refused.stdout.split())
    assert "base.ports -> dagster_module_builder.workspaces.planning" in said
    assert "not listed as layers: - dagster_module_builder.attic" in said

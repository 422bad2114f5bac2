"""FAULTS A4: code servers that are kept apart have what is their module's, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dagster_module_builder.module_servers import blocks, listed
from dagster_module_builder.module_servers.copying import copied, project_of
from tests import needs

DRIVER = Path(__file__).with_name("apart_driver.py")
#: What the template gives to the container that runs all code.
RIGHTS = "-all,+chown,+dac_override,+kill,+setgid,+setuid"

VARIABLES = """\
COMPOSE_PROJECT_NAME='ws'
SHARED_KEY='shared-secret-40'
# BEGIN: sales
SALES_DB_PASSWORD='sales-secret-41'
SALES_DB_ROOT_PASSWORD='sales-root-secret-42'
# END: sales
# BEGIN: shop
SHOP_DB_PASSWORD='shop-secret-43'
# END: shop
"""
#: Each secret's digest, by its name: whoever looks for it does not have it.
WANTED = {
    name: hashlib.sha256(value.encode()).hexdigest() for name, value in re.findall(r"(\w+)='(.+-secret-.+)'", VARIABLES)
}
MODULES = [["sales", "sales", "projects/sales/src"], ["shop", "shop", "projects/shop/src"]]


@pytest.fixture
def base() -> Iterator[Path]:
    """A workspace that only its owner may read, in a folder that every user may enter."""
    needs.root()
    needs.programs("setpriv")
    # Pytest's folders are root's alone.
    folder = Path(tempfile.mkdtemp(prefix="apart-", dir="/tmp"))
    folder.chmod(0o755)
    for name, mode in {"owner": 0o700, "copy": 0o755, "out": 0o1777, "tmp": 0o1777}.items():
        (folder / name).mkdir()
        (folder / name).chmod(mode)
    root = folder / "owner/workspace"
    for name in ("sales", "shop"):
        source = root / "projects" / name / "src"
        source.mkdir(parents=True)
        (source / "code.py").write_text("one = 1\n")
        (source.parent / "pyproject.toml").touch()
        (source.parent / ".env").write_text("SECRET=1\n")
        (source.parent / "workspace/local").mkdir(parents=True)
        (source.parent / "workspace/local/.env").write_text("SECRET=1\n")
    (root / ".env").write_text(VARIABLES)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        shutil.chown(path, 1000, 1000)
    yield folder
    shutil.rmtree(folder)


def become(base: Path, modules: Sequence[Sequence[str | None]] = MODULES) -> list[Any]:
    request = json.dumps({"base": str(base), "modules": modules, "wanted": WANTED})
    line = ["setpriv", f"--bounding-set={RIGHTS}", "--inh-caps=-all", "--no-new-privs", sys.executable, str(DRIVER)]
    done = subprocess.run(line, input=request, capture_output=True, text=True, check=False, cwd=DRIVER.parents[2])
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def test_each_module_has_its_variables_its_code_and_its_outputs_alone(base: Path) -> None:
    sales, shop = become(base)
    assert sales["user"] == [20000, 20000]
    assert shop["user"] == [20001, 20001]
    assert sales["variables"] == {"SHARED_KEY": "shared-secret-40", "SALES_DB_PASSWORD": "sales-secret-41"}
    assert shop["variables"] == {"SHARED_KEY": "shared-secret-40", "SHOP_DB_PASSWORD": "shop-secret-43"}
    # What another may know is not in the memory that a server has from the process above it, either.
    assert sales["memory"] == ["SALES_DB_PASSWORD", "SHARED_KEY"]
    assert shop["memory"] == ["SHARED_KEY", "SHOP_DB_PASSWORD"]
    for name, got in (("sales", sales), ("shop", shop)):
        own = [path for path in got["readable"] if not path.endswith(".pyc")]
        assert own == [f"copy/projects/{name}/pyproject.toml", f"copy/projects/{name}/src/code.py"], name
        # And folders in the one of logs, which it cannot list.
        assert got["writable"] == ["out", f"out/{name}", "tmp", f"tmp/{name}-{got['user'][0]}"]
        assert got["path"] == [f"{base}/copy/projects/{name}/src"]
        assert got["root"] is False
    stored = base / "out/sales/value.data"
    assert (stored.stat().st_uid, stored.stat().st_mode & 0o777) == (20000, 0o640)


def test_a_module_stays_the_same_user(base: Path) -> None:
    become(base)
    (sales,) = become(base, [MODULES[0]])
    assert sales["user"] == [20000, 20000]
    # Its outputs of the time before are read by it alone.
    assert "out/sales/value.data" in sales["readable"]


def test_outputs_of_an_earlier_version_are_handed_over(base: Path) -> None:
    old = base / "out/sales/old.data"
    old.parent.mkdir(mode=0o755)
    old.write_text("old")
    for path in (old.parent, old):
        shutil.chown(path, 1000, 1000)
    sales, shop = become(base)
    assert "out/sales/old.data" in sales["readable"]
    assert "out/sales/old.data" not in shop["readable"]


def test_the_owner_says_whose_outputs_a_module_reads(base: Path) -> None:
    """A module says so in vain: its block is its own, the lines outside of it are the owner's."""
    env = base / "owner/workspace/.env"
    become(base)
    env.write_text(f"DAGSTER_MODULE_READS='shop: sales'\n{VARIABLES}")
    _, shop = become(base)
    assert shop["user"] == [20001, 20001, 20000]
    assert "out/sales/value.data" in shop["readable"]
    assert "out/sales" not in shop["writable"]
    env.write_text(VARIABLES.replace("# END: shop", "DAGSTER_MODULE_READS='shop: sales'\n# END: shop"))
    _, shop = become(base)
    assert shop["user"] == [20001, 20001]


def test_a_folder_that_another_module_made_is_not_taken(base: Path) -> None:
    (base / "out/shop").mkdir()
    shutil.chown(base / "out/shop", 20000, 20000)
    _, shop = become(base)
    assert shop == f"PermissionError: {base}/out/shop belongs to another module: remove it"


def test_a_link_in_place_of_a_folder_is_not_followed(base: Path) -> None:
    (base / "out/shop").symlink_to(base / "owner")
    _, shop = become(base)
    assert shop == f"PermissionError: {base}/out/shop belongs to another module: remove it"
    assert (base / "owner").stat().st_uid == 0


def test_code_in_the_root_of_the_workspace_is_refused(base: Path) -> None:
    (said,) = become(base, [["all", None, "src"]])
    assert said.startswith("RuntimeError: the code in ")
    (base / "owner/workspace/src").mkdir()
    (base / "owner/workspace/setup.py").touch()
    (got,) = become(base, [["all", None, "src"]])
    assert got["variables"] == {"SHARED_KEY": "shared-secret-40"}


def test_where_others_can_enter_nothing_is_served(base: Path) -> None:
    (base / "owner").chmod(0o755)
    with pytest.raises(AssertionError, match="must be a folder of root with the mode 0700"):
        become(base)


def test_a_copy_becomes_what_the_source_is(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for name in ("a/one.py", "a/two.txt", "gone/x.py", ".git/config", ".env.local", "run.sh"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "run.sh").chmod(0o755)
    (source / "out").symlink_to("/etc/passwd")
    copied(source, target)
    assert _tree(target) == {
        "a/one.py": "a/one.py",
        "a/two.txt": "a/two.txt",
        "gone/x.py": "gone/x.py",
        "run.sh": "run.sh",
    }
    assert (target / "run.sh").stat().st_mode & 0o111
    assert (target / "out").readlink() == Path("/etc/passwd")
    same = (target / "a/one.py").stat().st_ino
    shutil.rmtree(source / "gone")
    (source / "a/two.txt").unlink()
    (source / "a/two.txt").mkdir()
    (source / "a/two.txt/three.py").write_text("three")
    (source / "out").unlink()
    (source / "out").write_text("file")
    copied(source, target)
    assert _tree(target) == {"a/one.py": "a/one.py", "a/two.txt/three.py": "three", "out": "file", "run.sh": "run.sh"}
    assert (target / "a/one.py").stat().st_ino == same


def _tree(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): path.read_text() for path in files if path.suffix != ".pyc"}


def test_the_project_of_a_folder_is_where_its_requirements_are(tmp_path: Path) -> None:
    source = tmp_path / "projects/sales/src"
    source.mkdir(parents=True)
    (tmp_path / "pyproject.toml").touch()
    assert project_of(source, tmp_path) == source
    (source.parent / "pyproject.toml").touch()
    assert project_of(source, tmp_path) == source.parent
    assert project_of(tmp_path, tmp_path) == tmp_path


def test_lines_are_told_apart_by_markers() -> None:
    text = "a\n  # BEGIN: one\r\n  b\n  # END: one\nc\n# BEGIN: two\nd\n"
    assert blocks.taken_apart(text) == blocks.Shared("a\nc", {"one": "  b", "two": "d\n"})


def test_a_list_that_says_nothing_has_no_markers() -> None:
    assert listed.markers_in(b"load_from: []\n", Path("workspace.yaml")) == {}

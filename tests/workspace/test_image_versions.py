"""The versions that an image's owner pinned: `add` refuses what needs other ones, before anything is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ConflictError
from dagster_module_builder.health.validate import validate
from dagster_module_builder.workspaces.add import add_module
from dagster_module_builder.workspaces.external_checks import requirements
from dagster_module_builder.workspaces.initialize import initialize
from tests import index
from tests.engine.folders import make_module, make_workspace, services, shared

SNIPPET = b"""\
COPY projects/sales/pyproject.toml /opt/dagster/modules/sales/pyproject.toml
RUN uv pip install --system --constraint /opt/dagster/constraints.txt -r /opt/dagster/modules/sales/pyproject.toml
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An index with Dagster's names, made here: resolving takes milliseconds."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels = [
        index.wheel(folder, "dagster", version, {}, requires=[f"dagster-pipes=={version}", f"proto{limit}"])
        for version, limit in (("0.15.10", "<4"), ("1.8.8", "<5"), ("1.13.0", ">=5"))
    ]
    wheels += [index.wheel(folder, "dagster_pipes", version, {}) for version in ("0.15.10", "1.8.8", "1.13.0")]
    wheels += [index.wheel(folder, "proto", version, {}) for version in ("3.0", "4.0", "5.0")]
    wheels.append(index.wheel(folder, "sums", "1.0", {}, requires=["proto>=5"]))
    with index.serving(*wheels) as found:
        yield found


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _index(address: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", address)
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))


def workspace(tmp_path: Path, dockerfile: str, files: dict[str, str] | None = None) -> Path:
    root = make_workspace(tmp_path / "ws", dockerfile=dockerfile.encode())
    for name, text in (files or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def module(root: Path, *wanted: str) -> None:
    folder = make_module(root, "sales", dockerfile=SNIPPET)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "sales"\nversion = "1"\ndependencies = {json.dumps(wanted)}\n'
    )


def add(root: Path) -> None:
    assert add_module(root, "sales", checks=[requirements]).notes == ()


#: Uv finds the Python that runs the tests fastest.
BASE = f"FROM python:{sys.version_info[0]}.{sys.version_info[1]}-slim\n"
LOCK = """\
[[package]]
name = "dagster"
version = "1.8.8"
dependencies = [{ name = "dagster-pipes" }]

[[package]]
name = "dagster-pipes"
version = "1.8.8"

[[package]]
name = "sums"
version = "0.1"
"""
POETRY = '[[package]]\nname = "dagster"\nversion = "1.8.8"\n[package.dependencies]\ndagster-pipes = "1.8.8"\n'
#: A Dockerfile that asks for Dagster 1.8.8, other files, and where that is said.
PINNED = {
    "pip": (f"{BASE}RUN pip install dagster==1.8.8 dagster-webserver==1.8.8\n", {}, "services/dagster/Dockerfile:2"),
    "several lines": (f"{BASE}RUN pip install \\\n  # why\n  dagster==1.8.8\n", {}, "services/dagster/Dockerfile:4"),
    "a range": (f'{BASE}RUN pip install "dagster>=1.8,<1.9"\n', {}, "services/dagster/Dockerfile:2"),
    "another program before": (f"{BASE}RUN set -e; apt update && pip3 install -q dagster~=1.8.0\n", {}, "Dockerfile:2"),
    "JSON": (f'{BASE}RUN ["python3", "-m", "pip", "install", "dagster==1.8.8"]\n', {}, "Dockerfile:2"),
    "a heredoc": (f"{BASE}RUN <<EOF\napt update\npip install dagster==1.8.8\nEOF\n", {}, "Dockerfile:4"),
    "a variable": (f"{BASE}ARG V=1.8.8\nENV D=dagster\nRUN uv pip install --system $D==${{V}}\n", {}, "Dockerfile:4"),
    "a venv": (f"{BASE}RUN python -m venv /opt/v && /opt/v/bin/pip install dagster==1.8.8\n", {}, "Dockerfile:2"),
    "uv's --python": (f"{BASE}RUN uv pip install --python=/opt/v/bin/python dagster==1.8.8\n", {}, "Dockerfile:2"),
    "requirements": (
        f"{BASE}WORKDIR /app\nCOPY app/requirements.txt .\nRUN pip install -r requirements.txt\n",
        {"app/requirements.txt": "# ours\npandas\ndagster==1.8.8 \\\n    --hash=sha256:0\n"},
        "app/requirements.txt:3",
    ),
    "requirements of requirements": (
        f"{BASE}COPY app /app\nRUN pip install --no-cache-dir -r /app/dev.txt\n",
        {"app/dev.txt": "-r base.txt\n", "app/base.txt": "dagster[x]==1.8.8\n"},
        "app/base.txt:1",
    ),
    "constraints": (
        f"{BASE}COPY limits.txt ./\nRUN pip install -c limits.txt dagster\n",
        {"limits.txt": "dagster==1.8.8\nsums==0.1\n"},
        "limits.txt:1",
    ),
    "a mounted file": (
        f"{BASE}RUN --mount=type=bind,source=r.txt,target=/tmp/r.txt pip install -r /tmp/r.txt\n",
        {"r.txt": "dagster==1.8.8\n"},
        "r.txt:1",
    ),
    "a project": (
        f"{BASE}WORKDIR /app\nCOPY . .\nRUN pip install -e '.[dev]'\n",
        {"pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = [\n  "dagster==1.8.8",\n]\n'},
        "pyproject.toml:5",
    ),
    "setup.py": (
        f"{BASE}COPY app /app\nRUN pip install /app\n",
        {"app/setup.py": "from setuptools import setup\nsetup(name='x', install_requires=['dagster==1.8.8'])\n"},
        "app/setup.py:2",
    ),
    "uv.lock": (
        f"{BASE}WORKDIR /app\nCOPY pyproject.toml uv.lock ./\nENV UV_PROJECT_ENVIRONMENT=/opt/v\nRUN uv sync\n",
        {"uv.lock": LOCK, "pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = ["dagster"]\n'},
        "uv.lock:2",
    ),
    "poetry.lock": (
        f"{BASE}WORKDIR /app\nCOPY poetry.lock pyproject.toml /app/\nRUN poetry install --only main\n",
        {"poetry.lock": POETRY, "pyproject.toml": "[tool.poetry.dependencies]\ndagster = '^1.8'\n"},
        "poetry.lock:2",
    ),
    "another stage": (
        f"{BASE.strip()} AS made\nRUN pip install --target=/deps dagster==1.8.8\n{BASE}COPY --from=made /deps /deps\n",
        {},
        "Dockerfile:2",
    ),
    "a stage below": (f"{BASE.strip()} AS base\nRUN pip install dagster==1.8.8\nFROM base\n", {}, "Dockerfile:2"),
    "Dagster's own image": ("FROM dagster/dagster-k8s:1.8.8\nRUN pip install sums\n", {}, "Dockerfile:1"),
}


@pytest.mark.parametrize(("dockerfile", "files", "where"), PINNED.values(), ids=PINNED)
def test_a_module_for_another_dagster_is_refused_with_the_place_of_the_pin(
    tmp_path: Path, dockerfile: str, files: dict[str, str], where: str
) -> None:
    """FAULTS F1: the owner's pin is found wherever it is, and nothing is written."""
    root = workspace(tmp_path, dockerfile, files)
    module(root, "dagster>=1.13,<1.14")
    before = shared(root)
    with pytest.raises(ConflictError) as refused:
        add(root)
    (reason,) = refused.value.reasons
    assert f"{where})" in reason
    assert "'workspace.add sales --code-server own'" in reason
    assert "dagster" in reason
    assert shared(root) == before
    module(root, "dagster>=1.5")
    add(root)


def test_the_refusal_says_which_version_would_do(tmp_path: Path) -> None:
    """FAULTS F1: both ways out, in words that can be acted on."""
    root = workspace(tmp_path, PINNED["pip"][0])
    module(root, "dagster>=1.13,<1.14")
    with pytest.raises(ConflictError) as refused:
        add(root)
    (reason,) = refused.value.reasons
    assert reason == (
        f"sales requires dagster<1.14,>=1.13, but the image has dagster==1.8.8 ({services(root)}/Dockerfile:2).\n"
        "Give sales a separate code server with 'workspace.add sales --code-server own', or change dagster there to a "
        "version that fits <1.14,>=1.13."
    )


def test_a_dagster_from_before_its_webserver_takes_modules(tmp_path: Path) -> None:
    """FAULTS F1: nothing is asked for that an old Dagster does not have: it had dagit."""
    root = workspace(tmp_path, f"{BASE}RUN pip install dagster==0.15.10 dagit==0.15.10\n")
    module(root, "dagster>=0.15")
    add(root)


def test_what_dagster_needs_in_this_version_is_a_reason_too(tmp_path: Path) -> None:
    """FAULTS F1: the module's own requirements fit, and what they need in turn does not."""
    root = workspace(tmp_path, PINNED["pip"][0])
    module(root, "dagster", "sums")
    with pytest.raises(ConflictError) as refused:
        add(root)
    (reason,) = refused.value.reasons
    assert "sales cannot be installed into the image" in reason
    assert "The image has dagster==1.8.8" in reason
    assert "proto" in reason


@pytest.mark.parametrize(
    "dockerfile",
    [
        f"{BASE}RUN pip install dagster dagster-webserver\n",
        f"{BASE}RUN pip install dagster && python -m venv /opt/tool && /opt/tool/bin/pip install proto==3.0\n",
        f"{BASE}RUN pip install dagster\nRUN uv tool install proto==3.0 && pipx install proto==3.0\n",
        f"{BASE}RUN pip install dagster>=1.8 && echo dagster==1.8.8\n",
        f"{BASE}RUN pip install dagster $UNKNOWN dagster==$NOWHERE -i https://example.org/simple\n",
        f'{BASE}RUN pip install -r /nowhere.txt "unbalanced\n',
    ],
    ids=["no versions", "another environment", "tools", "a redirection", "unknown variables", "unreadable"],
)
def test_what_pins_no_package_of_dagsters_environment_refuses_nothing(tmp_path: Path, dockerfile: str) -> None:
    root = workspace(tmp_path, dockerfile)
    module(root, "dagster>=1.13", "sums")
    add(root)


def test_packages_that_are_only_limited_or_for_development_refuse_nothing(tmp_path: Path) -> None:
    """A file of constraints and a lock also have versions of packages that the image does not get."""
    files = {"limits.txt": "proto==3.0\ndagster==1.13.0\n"}
    root = workspace(tmp_path, f"{BASE}COPY limits.txt /\nRUN pip install -c /limits.txt dagster\n", files)
    module(root, "dagster", "sums")
    add(root)
    lock = {"uv.lock": LOCK.replace("1.8.8", "1.13.0")}
    root = workspace(tmp_path / "locked", f"{BASE}COPY uv.lock /\nRUN uv sync\n", lock)
    module(root, "dagster", "sums>=1")
    add(root)


def test_a_version_that_no_index_has_is_no_conflict(tmp_path: Path) -> None:
    """The image has it all the same: from a private index, or with a local label."""
    root = workspace(tmp_path, f"{BASE}RUN pip install dagster==1.13.0 sums==1.0+ours\n")
    module(root, "dagster", "sums>=1")
    (note,) = add_module(root, "sales", checks=[requirements]).notes
    assert "Could not check whether the requirements resolve together" in note


def test_the_images_python_decides(tmp_path: Path) -> None:
    root = workspace(tmp_path, "ARG P=3.9\nFROM python:${P}-slim\nRUN pip install dagster==1.8.8\n")
    module(root, "dagster")
    file = root / "projects/sales/pyproject.toml"
    file.write_text(f'{file.read_text()}requires-python = ">=3.10"\n')
    with pytest.raises(ConflictError, match=r"requested Python version \(>=3\.9\)"):
        add(root)
    dockerfile = services(root) / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("python:${P}", "debian"))
    add(root)


def test_a_module_from_before_is_a_warning_when_another_one_is_added(tmp_path: Path) -> None:
    """What was added over the image's Dagster by an earlier version stays; `validate` says so."""
    root = workspace(tmp_path, PINNED["pip"][0])
    module(root, "dagster>=1.13")
    add_module(root, "sales")
    other = make_module(root, "notes", 15441, dockerfile=SNIPPET.replace(b"sales", b"notes"))
    (other / "pyproject.toml").write_text('[project]\nname = "notes"\nversion = "1"\ndependencies = ["dagster"]\n')
    (note,) = add_module(root, "notes", checks=[requirements]).notes
    assert note.startswith("Warning: sales requires dagster>=1.13, but the image has dagster==1.8.8")
    errors = [
        one for one in validate(root) if one.severity == "error" and "the image has dagster==1.8.8" in one.message
    ]
    assert [one.owner for one in errors] == ["sales"]


def test_our_own_workspace_goes_by_its_lock(tmp_path: Path) -> None:
    """Where constraints.txt pins Dagster, blocks stay as the module's snippet has them."""
    initialize(root := tmp_path / "ws")
    module(root, "dagster>=1.13")
    add_module(root, "sales")
    assert SNIPPET in (services(root) / "Dockerfile").read_bytes()


def test_a_dagster_that_the_owner_added_to_our_image_is_kept(tmp_path: Path) -> None:
    """FAULTS F1: the lock says another version than the line that the image gets Dagster from."""
    initialize(root := tmp_path / "ws")
    file = services(root) / "Dockerfile"
    line = "RUN uv pip install --system dagster==1.8.8"
    file.write_text(file.read_text().replace("# The modules' system", f"{line}\n# The modules' system"))
    module(root, "dagster>=1.13")
    at = file.read_text().splitlines().index(line) + 1
    with pytest.raises(ConflictError, match=rf"dagster==1\.8\.8 \({services(root)}/Dockerfile:{at}\)"):
        add(root)
    module(root, "dagster")
    add(root)
    assert "--constraint /tmp/.dagster-image/installed.txt" in file.read_text()


def test_constraints_without_dagster_do_not_bind_it(tmp_path: Path) -> None:
    """FAULTS F1: an owner's constraints are kept, and the image's packages as well."""
    lines = "COPY services/dagster/constraints.txt /opt/dagster/constraints.txt\nRUN pip install dagster==1.8.8\n"
    root = workspace(tmp_path, BASE + lines, {"services/dagster/constraints.txt": "proto==4.0\n"})
    module(root, "dagster")
    add(root)
    text = (services(root) / "Dockerfile").read_text()
    assert "--constraint /tmp/.dagster-image/installed.txt" in text
    assert "--constraint /opt/dagster/constraints.txt" in text

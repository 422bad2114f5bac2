"""What a program of the machine that fails is taken for: never for a "no", always for what it says itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import ToolError
from dagster_module_builder.programs import outside_programs
from tests.cli.quick_program import QuickProgram
from tests.cli.terminal import Terminal

WORDS = "the tool is out of order"
SAYS_NO = f"#!/bin/sh\necho '{WORDS}' >&2; exit 1\n"
KILLED = "#!/bin/sh\nkill -9 $$\n"

#: A task, the program that it uses, and its exit code: a change of files goes on with a warning.
USES = [
    ("docker", ["workspace.add", "other"], 0),
    ("docker", ["workspace.remove", "sales"], 0),
    ("docker", ["workspace.remove", "sales", "--delete-data", "--yes"], 1),
    ("docker", ["workspace.validate"], 0),
    ("docker", ["workspace.up"], 1),
    ("docker", ["workspace.down"], 1),
    ("docker", ["workspace.logs"], 1),
    ("ssh", ["deploy", "yoda"], 1),
    ("ssh", ["deploy.check", "yoda"], 1),
    ("ssh", ["deploy.status", "yoda"], 1),
    ("ssh", ["deploy.trust", "yoda"], 1),
    ("ssh", ["deploy.setup", "yoda"], 1),
    ("ssh", ["deploy.rollback", "yoda"], 1),
    ("ssh", ["deploy.log", "yoda"], 1),
]


@pytest.fixture(params=[SAYS_NO, KILLED], ids=["says why", "killed"])
def stand_in(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(request.param)


def put(folder: Path, name: str, text: str, mode: int = 0o755) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(mode)
    return folder


@pytest.mark.parametrize(("name", "line", "code"), USES, ids=[" ".join(line) for _, line, _ in USES])
def test_a_failing_program_is_told_in_its_own_words(
    full: Terminal, quick_program: QuickProgram, tmp_path: Path, stand_in: str, name: str, line: list[str], code: int
) -> None:
    """FAULTS C1: what fails is no answer."""
    if "other" in line:
        module = full.root / "projects/other"
        (module / "workspace/local").mkdir(parents=True)
        (module / "pyproject.toml").write_text("[project]\nname = 'other'\nversion = '0'\ndependencies = []\n")
        (module / "src/other_dagster").mkdir(parents=True)
        (module / "src/other_dagster/definitions.py").write_text("")
        fragment = "load_from:\n- python_package:\n    package_name: other_dagster.definitions\n"
        (module / "workspace/local/workspace.yaml").write_text(f"{fragment}    location_name: other\n")
    programs = put(tmp_path / "programs", name, stand_in)
    environ = {**full.environment, "PATH": f"{programs}:{os.environ['PATH']}"}
    result = quick_program.run(*line, environ=environ, folder=full.cwd)
    wanted = WORDS if stand_in == SAYS_NO else "ended by SIGKILL"
    assert (result.code, wanted in result.text) == (code, True), result.text
    assert "Traceback" not in result.text


def test_a_program_that_may_not_be_run_is_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAULTS C1: not executable is not the same as not installed."""
    monkeypatch.setenv("PATH", str(put(tmp_path / "programs", "docker", SAYS_NO, 0o644)))
    with pytest.raises(ToolError, match=r"programs/docker cannot be run"):
        outside_programs.is_installed("docker")
    assert not outside_programs.is_installed("rsync")


def test_a_program_that_hangs_is_ended_at_its_limit_with_what_it_said(tmp_path: Path) -> None:
    """FAULTS C1: a time limit is a failure, too."""
    programs = put(tmp_path / "programs", "slow", "#!/bin/sh\necho 'waiting for the moon' >&2\nexec sleep 60\n")
    with pytest.raises(ToolError, match=r"(?s)did not end within 0\.5 seconds.*waiting for the moon"):
        outside_programs.ask([programs / "slow"], limit=0.5)


def test_a_missing_program_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS C1: not found is a failure with a cure."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"'rsync' was not found\. Install rsync"):
        outside_programs.ask(["rsync", "--version"])
    with pytest.raises(ToolError, match="the folder does not exist"):
        outside_programs.ask(["/bin/true"], folder=tmp_path / "nowhere")

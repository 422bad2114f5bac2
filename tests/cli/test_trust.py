"""FAULTS S6: code of a module from elsewhere is run after a question, once; of the person's own modules, unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.commands import console, trusting
from dagster_module_builder.modules.trusted_code import is_trusted, remember_made
from dagster_module_builder.program import program
from dagster_module_builder.workspaces.add import add_module
from tests.engine.folders import make_module, make_workspace


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CI", raising=False)
    return make_workspace(tmp_path / "workspace")


@pytest.fixture
def guest(root: Path) -> Path:
    module = make_module(root, "guest")
    (module / "src").mkdir()
    (module / "src/code.py").write_text("1\n")
    return module


@pytest.mark.parametrize(
    "task", [("workspace.materialize",), ("audit", "--load"), ("upgrade", "--test-dagster=1.13.0")]
)
def test_without_a_terminal_nothing_is_run_and_the_flag_is_named(
    root: Path, guest: Path, task: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """FAULTS S6: before any environment is made."""
    monkeypatch.setattr("dagster_module_builder.programs.uv_program.ask", None)
    name, *flags = task
    with pytest.raises(SystemExit):
        program().run(["dagster-module-builder", name, "guest", *flags, f"--root={root}"])
    assert "pass --trust" in capsys.readouterr().err


def test_the_answer_is_remembered_until_the_content_changes(root: Path, guest: Path) -> None:
    trusting.agree_to_run(root, guest, trust=True)
    trusting.agree_to_run(root, guest, trust=False)
    (guest / "src/code.py").write_text("2\n")
    with pytest.raises(RefusedError, match="--trust"):
        trusting.agree_to_run(root, guest, trust=False)


@pytest.mark.parametrize("change", ["a link", "an executable file", "a file that a test imports"])
def test_any_file_is_content(root: Path, guest: Path, change: str) -> None:
    trusting.agree_to_run(root, guest, trust=True)
    if change == "a link":
        (guest / "link").symlink_to("/etc/hostname")
    else:
        (guest / ("run.sh" if "executable" in change else "conftest.py")).write_text("")
    assert not is_trusted(root, guest)


def test_no_is_an_answer(root: Path, guest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "confirmed", lambda *_, **__: False)
    with pytest.raises(RefusedError, match="Not run"):
        trusting.agree_to_run(root, guest, trust=False)
    assert not is_trusted(root, guest)


def test_modules_of_the_workspace_and_those_made_here_are_not_asked_about(root: Path, guest: Path) -> None:
    """FAULTS S6: whatever changes in them; a pipeline is not asked either."""
    assert not is_trusted(root, guest)
    assert is_trusted(root, guest, {"CI": "true"})
    add_module(root, "guest")
    (guest / "src/code.py").write_text("2\n")
    assert is_trusted(root, guest)
    made = make_module(root, "made", 15441)
    remember_made(made)
    (made / "new.py").write_text("")
    assert is_trusted(root, made)


def test_a_module_of_the_same_name_elsewhere_is_another(root: Path, guest: Path, tmp_path: Path) -> None:
    add_module(root, "guest")
    elsewhere = tmp_path / "guest"
    elsewhere.mkdir()
    assert not is_trusted(root, elsewhere)

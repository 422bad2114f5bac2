"""The template's changes since a module was made, merged with what a person changed meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagster_module_builder.audit.run import audit
from dagster_module_builder.base.baseline import FILE, FileContent, packed, unpacked
from dagster_module_builder.base.errors import RefusedError
from dagster_module_builder.upgrade.ending import abort, finish
from dagster_module_builder.upgrade.proof import Loader
from dagster_module_builder.upgrade.run import upgrade
from dagster_module_builder.upgrade.three_way import Versions, has_markers, merge
from tests.edits import edit
from tests.template import environment
from tests.upgrade.module_files import MODULE_FILES, TODAY, Change, files_of

Tomorrow = Callable[[Change], Path]
README = f"{MODULE_FILES}/README.md"
VERSIONS = Versions(TODAY, "1.3.0")


def append(path: Path, text: str) -> None:
    path.write_bytes(path.read_bytes() + text.encode())


def version(module: Path) -> str:
    return str(json.loads((module / ".dagster-module.json").read_text())["template_version"])


def test_a_module_keeps_what_it_was_made_from_without_secrets(module: Path) -> None:
    kept = unpacked((module / FILE).read_bytes())
    password = (module / "workspace/local/.env").read_text().partition("_DB_PASSWORD='")[2].partition("'")[0]
    assert kept["README.md"].content == (module / "README.md").read_bytes()
    assert len(password) > 20
    assert not any(password.encode() in one.content for one in kept.values())


def test_the_same_files_give_the_same_archive() -> None:
    tree = {"b": FileContent(b"2", executable=True), "a": FileContent(b"1")}
    assert unpacked(packed(tree)) == tree
    assert packed(tree) == packed(dict(reversed(tree.items())))


def test_a_module_that_knew_versions_only_gets_their_hashes(root: Path, module: Path) -> None:
    """As template 1.0.4 made it; a version of its owner's stays, and ``audit`` names it."""
    lock = (module / "constraints.lock").read_bytes()
    (module / "constraints.lock").unlink()
    kept = unpacked((module / FILE).read_bytes())
    (module / FILE).write_bytes(packed({name: one for name, one in kept.items() if name != "constraints.lock"}))
    edit(module / ".dagster-module.json", f'"template_version": "{TODAY}"', '"template_version": "1.0.4"')
    edit(module / "constraints.txt", "toposort==1.10", "toposort==1.9")
    assert audit(root, module, only=("hashes",)).results[0].status == "SKIP"
    done = upgrade(root, "sales")
    assert not done.conflicts
    assert (module / "constraints.lock").read_bytes() == lock
    assert b"\ntoposort==1.9\n" in (module / "constraints.txt").read_bytes()
    (problem,) = audit(root, module, only=("hashes",)).results[0].problems
    assert problem.message == "Hashes are not verified of toposort==1.9"
    assert not upgrade(root, "sales").changes


def test_nothing_to_do_changes_nothing(root: Path, module: Path) -> None:
    before = files_of(module)
    assert not upgrade(root, "sales").changes
    assert files_of(module) == before


def test_what_only_the_template_changed_is_taken(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    def change(template: Path) -> None:
        append(template / README, "\nA line of tomorrow: größe 日本.\n")
        (template / MODULE_FILES / "NEW.md").write_text("New in 1.1.\n")
        (template / MODULE_FILES / "TROUBLESHOOTING.md").unlink()
        (template / MODULE_FILES / "run.sh").write_text("#!/bin/sh\n")
        (template / MODULE_FILES / "run.sh").chmod(0o755)

    tomorrow(change)
    append(module / "src/sales_dagster/assets.py", "# mine\n")
    outcome = upgrade(root, "sales")
    assert not outcome.conflicts
    assert (module / "README.md").read_text().endswith("A line of tomorrow: größe 日本.\n")
    assert (module / "NEW.md").read_text() == "New in 1.1.\n"
    assert not (module / "TROUBLESHOOTING.md").exists()
    assert (module / "run.sh").stat().st_mode & 0o100
    assert (module / "src/sales_dagster/assets.py").read_text().endswith("# mine\n")
    assert version(module) == "1.3.0"
    assert not upgrade(root, "sales", allow_dirty=True).changes


def test_both_changes_of_different_lines_are_in_the_result(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    tomorrow(lambda template: append(template / README, "\nTheirs.\n"))
    edit(module / "README.md", "## Run it", "Mine.\n\n## Run it")
    assert not upgrade(root, "sales").conflicts
    text = (module / "README.md").read_text()
    assert "Mine." in text
    assert text.endswith("Theirs.\n")


def test_what_a_person_deleted_stays_deleted(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    tomorrow(lambda template: append(template / README, "\nTheirs.\n"))
    (module / "README.md").unlink()
    outcome = upgrade(root, "sales")
    assert not (module / "README.md").exists()
    assert "README.md" in "".join(outcome.notes)


def test_what_the_template_dropped_but_a_person_changed_stays(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    tomorrow(lambda template: (template / MODULE_FILES / "TROUBLESHOOTING.md").unlink())
    append(module / "TROUBLESHOOTING.md", "Mine.\n")
    outcome = upgrade(root, "sales")
    assert (module / "TROUBLESHOOTING.md").read_text().endswith("Mine.\n")
    assert "TROUBLESHOOTING.md" in "".join(outcome.notes)


@pytest.mark.parametrize("edited", [False, True])
def test_a_file_that_the_template_renamed_takes_its_edits_along(
    root: Path, module: Path, tomorrow: Tomorrow, edited: bool
) -> None:
    def change(template: Path) -> None:
        (template / MODULE_FILES / "docs").mkdir()
        moved = (template / MODULE_FILES / "TROUBLESHOOTING.md").rename(template / MODULE_FILES / "docs/HELP.md")
        append(moved, "\nTheirs: größe.\n")

    tomorrow(change)
    old, new = module / "TROUBLESHOOTING.md", module / "docs/HELP.md"
    if edited:
        old.write_text(f"Mine.\n\n{old.read_text()}")
    outcome = upgrade(root, "sales")
    assert not outcome.conflicts
    assert not old.exists()
    assert new.read_text().startswith("Mine.\n\n") == edited
    assert new.read_text().endswith("\nTheirs: größe.\n")
    assert "The template renamed TROUBLESHOOTING.md to docs/HELP.md" in "".join(outcome.notes)
    assert not upgrade(root, "sales", allow_dirty=True).changes


def test_a_renamed_file_that_was_deleted_or_is_there_already_is_left_alone(
    root: Path, module: Path, tomorrow: Tomorrow
) -> None:
    def change(template: Path) -> None:
        (template / MODULE_FILES / "TROUBLESHOOTING.md").rename(template / MODULE_FILES / "HELP.md")

    tomorrow(change)
    append(module / "TROUBLESHOOTING.md", "Mine.\n")
    (module / "HELP.md").write_text("My own help.\n")
    outcome = upgrade(root, "sales")
    assert (module / "TROUBLESHOOTING.md").read_text().endswith("Mine.\n")
    assert "My own help.\n" in (module / "HELP.md").read_text()
    assert outcome.conflicts == ("HELP.md",)


def test_a_file_with_other_line_endings_is_merged_as_it_is(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    tomorrow(lambda template: append(template / README, "\nTheirs.\n"))
    path = module / "README.md"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n").replace(b"## Run it", b"Mine.\r\n\r\n## Run it"))
    assert not upgrade(root, "sales").conflicts
    text = path.read_bytes()
    assert b"Mine.\r\n" in text
    assert text.endswith(b"Theirs.\r\n")
    assert text.count(b"\n") == text.count(b"\r\n")


def test_modes_of_a_person_stay_and_of_the_template_come(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    def change(template: Path) -> None:
        append(template / README, "\nTheirs.\n")
        (template / MODULE_FILES / "pyproject.toml").chmod(0o755)

    tomorrow(change)
    (module / "README.md").chmod(0o755)
    upgrade(root, "sales")
    assert (module / "README.md").stat().st_mode & 0o777 == 0o755
    assert (module / "pyproject.toml").stat().st_mode & 0o100


def test_secrets_stay_and_new_ones_are_made(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    new = "{{ cookiecutter.__env }}_OTHER_PASSWORD='@PASSWORD@'\n"
    tomorrow(lambda template: append(template / MODULE_FILES / "workspace/local/.env", new))
    env = module / "workspace/local/.env"
    before = env.read_text()
    outcome = upgrade(root, "sales")
    after = env.read_text()
    assert not outcome.conflicts
    assert after.startswith(before)
    added = after[len(before) :]
    assert added.startswith("SALES_OTHER_PASSWORD='")
    assert "@" not in added
    assert len(added) > 40
    assert env.stat().st_mode & 0o777 == 0o600
    assert added.partition("'")[2].partition("'")[0] not in outcome.plan.diff()


def test_new_questions_get_their_default_and_are_shown(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    def change(template: Path) -> None:
        edit(template / "cookiecutter.json", '  "workspace": [', '  "colour": ["blue", "red"],\n  "workspace": [')
        append(template / README, "\nThe colour is {{ cookiecutter.colour }}.\n")

    tomorrow(change)
    outcome = upgrade(root, "sales")
    assert "'colour'" in "".join(outcome.notes)
    assert (module / "README.md").read_text().endswith("The colour is blue.\n")
    assert json.loads((module / ".dagster-module.json").read_text())["answers"]["colour"] == "blue"


@pytest.fixture
def conflict(root: Path, module: Path, tomorrow: Tomorrow) -> dict[str, tuple[bytes, int]]:
    """An upgrade that stands still at a conflict; returns the files as they were before."""

    def change(template: Path) -> None:
        edit(template / README, "## Run it", "## Run it, as of tomorrow")
        (template / MODULE_FILES / "deeper/down").mkdir(parents=True)
        (template / MODULE_FILES / "deeper/down/new.md").write_text("New.\n")
        (template / MODULE_FILES / "TROUBLESHOOTING.md").unlink()

    tomorrow(change)
    edit(module / "README.md", "## Run it", "## How I run it")
    (module / "TROUBLESHOOTING.md").chmod(0o755)
    before = files_of(module)
    outcome = upgrade(root, "sales")
    assert outcome.conflicts == ("README.md",)
    return before


def test_a_conflict_is_marked_and_the_version_stays(root: Path, module: Path, conflict: object) -> None:
    text = (module / "README.md").read_text()
    assert (
        f"<<<<<<< yours\n## How I run it\n||||||| template {TODAY}\n## Run it\n=======\n## Run it, as of tomorrow\n"
        in text
    )
    assert ">>>>>>> template 1.3.0" in text
    assert version(module) == TODAY
    assert audit(root, module, only=("upgrade-unfinished",)).failed
    with pytest.raises(RefusedError, match="--continue"):
        upgrade(root, "sales")


def test_continue_waits_for_the_last_marker(root: Path, module: Path, conflict: object) -> None:
    with pytest.raises(RefusedError, match=r"README\.md:\d+"):
        finish(root, "sales")
    path = module / "README.md"
    path.write_text(path.read_text().partition("<<<<<<<")[0] + "Resolved\n=======\n")
    finish(root, "sales")
    assert version(module) == "1.3.0"
    assert path.read_text().endswith("Resolved\n=======\n")
    assert not upgrade(root, "sales", allow_dirty=True).changes
    with pytest.raises(RefusedError, match="No upgrade"):
        finish(root, "sales")


@pytest.mark.dagster
def test_continue_refuses_definitions_that_do_not_load(root: Path, module: Path, conflict: object) -> None:
    """FAULTS F2: what a person resolved is loaded before it is recorded."""
    (module / ".venv").symlink_to(environment.made().folder)
    (module / "README.md").write_text("Resolved\n")
    definitions = module / "src/sales_dagster/definitions.py"
    text = definitions.read_text()
    definitions.write_text("import nothing_of_that_name\n" + text)
    with pytest.raises(RefusedError, match="do not load: ModuleNotFoundError"):
        finish(root, "sales", loader=Loader(root, module, lambda: True))
    assert version(module) == TODAY
    definitions.write_text(text)
    finish(root, "sales", loader=Loader(root, module, lambda: True))
    assert version(module) == "1.3.0"


def test_a_conflict_counts_beside_lines_that_look_like_markers(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    """FAULTS B3: git says how many conflicts there are; the person's own markers are none, and stay."""
    tomorrow(lambda template: edit(template / README, "## Run it", "## Run it, as of tomorrow"))
    path = module / "README.md"
    edit(path, "## Run it", "## How I run it")
    append(path, "<<<<<<< yours\nAn example.\n>>>>>>> template 0.9 (new)\n")
    assert upgrade(root, "sales").conflicts == ("README.md",)
    with pytest.raises(RefusedError, match=r"conflicts left:\n- \S+README\.md:\d+\n- \S+:\d+\n- \S+:\d+$"):
        finish(root, "sales")
    text = path.read_text()
    before, _, rest = text.partition("<<<<<<<< yours\n")
    path.write_text(before + rest.partition("(new)\n")[2])
    finish(root, "sales")
    assert version(module) == "1.3.0"
    assert path.read_text().endswith("<<<<<<< yours\nAn example.\n>>>>>>> template 0.9 (new)\n")


def test_continue_refuses_files_that_are_as_before_the_upgrade(
    root: Path, module: Path, conflict: dict[str, tuple[bytes, int]]
) -> None:
    """FAULTS P6: after `git checkout -- .` nothing is recorded as taken that is not there."""
    for name, (content, mode) in conflict.items():
        (module / name).write_bytes(content)
        (module / name).chmod(mode)
    shutil.rmtree(module / "deeper")
    with pytest.raises(RefusedError, match="--keep-mine") as caught:
        finish(root, "sales")
    named = [line for line in str(caught.value).splitlines() if line.startswith("- ")]
    assert named == [f"- {module / name}" for name in ("README.md", "deeper/down/new.md")]
    assert version(module) == TODAY
    finish(root, "sales", keep_mine=True)
    assert version(module) == "1.3.0"


def test_abort_gives_back_every_byte_and_mode(root: Path, module: Path, conflict: dict[str, tuple[bytes, int]]) -> None:
    append(module / "README.md", "half resolved\n")
    outcome = abort(root, "sales")
    assert files_of(module) == conflict
    assert not (module / "deeper").exists()
    kept = root / "services/dagster/modules/backups" / str(outcome.backup)
    assert any("half resolved" in path.read_text() for path in kept.glob("*README.md"))


def test_a_binary_file_is_put_beside(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    name = "src/sales_dagster/data/penguins-raw.csv"
    inside = f"{MODULE_FILES}/src/{{{{cookiecutter.__package}}}}/data/penguins-raw.csv"
    tomorrow(lambda template: (template / inside).write_bytes(b"theirs\0"))
    (module / name).write_bytes(b"mine\0")
    outcome = upgrade(root, "sales")
    assert (module / name).read_bytes() == b"mine\0"
    (beside,) = outcome.conflicts
    assert (module / beside).read_bytes() == b"theirs\0"
    with pytest.raises(RefusedError):
        finish(root, "sales")
    (module / beside).unlink()
    finish(root, "sales")
    assert version(module) == "1.3.0"


def test_a_dirty_tree_is_refused(root: Path, module: Path, tomorrow: Tomorrow) -> None:
    tomorrow(lambda template: append(template / README, "\nTheirs.\n"))
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=module, check=True)
    subprocess.run([*git, "add", "."], cwd=module, check=True)
    subprocess.run([*git, "commit", "-qm", "made"], cwd=module, check=True)
    append(module / "README.md", "not committed\n")
    before = files_of(module)
    with pytest.raises(RefusedError, match="--allow-dirty"):
        upgrade(root, "sales")
    assert files_of(module) == before
    assert upgrade(root, "sales", dry_run=True).changes
    assert upgrade(root, "sales", allow_dirty=True).changes


def test_a_module_without_a_baseline_takes_it_from_the_old_template(
    root: Path, module: Path, tomorrow: Tomorrow, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(Path(__file__).parents[2] / "cookiecutter-dagster-module", old, symlinks=False)
    tomorrow(lambda template: append(template / README, "\nTheirs.\n"))
    (module / FILE).unlink()
    edit(module / "README.md", "## Run it", "Mine.\n\n## Run it")
    assert "--from-template" in upgrade(root, "sales", dry_run=True).behind
    assert not upgrade(root, "sales", from_template=old).conflicts
    text = (module / "README.md").read_text()
    assert "Mine." in text
    assert text.endswith("Theirs.\n")
    assert (module / FILE).is_file()


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"    d\n", b"=======\n"]), max_size=8)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(LINES, LINES, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3)), max_size=4))
def test_no_line_that_a_person_added_is_lost(
    base: list[bytes], today: list[bytes], edits: list[tuple[int, int]]
) -> None:
    mine = list(base)
    added = []
    for number, (position, deleted) in enumerate(edits):
        at = position % (len(mine) + 1)
        added.append(b"mine %d \xc3\xa4\n" % number)
        mine[at : at + deleted] = [added[-1]]
    added = [line for line in added if line in mine]
    trees = [{"f": FileContent(b"".join(lines))} for lines in (base, mine, today)]
    (result,) = list(merge(*trees, VERSIONS)) or [None]
    text = trees[1]["f"].content if result is None else result.after.content
    assert all(line in text for line in added)
    # Without a conflict, what the template added is there, too.
    if result is not None and not result.conflict:
        assert all(line in text for line in set(today) - set(base))
    if result is not None and result.conflict:
        assert has_markers(text)

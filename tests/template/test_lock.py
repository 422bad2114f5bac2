"""The two locks of what modules and workspaces install, and what images make of them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import uv

from dagster_module_builder.compose.image import read_image
from dagster_module_builder.modules.hashes import HASHES, REFRESH, pins, with_hashes, without_hashes
from tests import index, needs
from tests.template.copies import REPOSITORY
from tests.template.lock import CONSTRAINTS, LOCK

DOCKERFILES = {
    "workspace": "cookiecutter-dagster-workspace/{{cookiecutter.name}}/services/dagster/Dockerfile",
    "module": "cookiecutter-dagster-module/{{cookiecutter.name}}/Dockerfile",
    "deployment": "deploy_strategies/docker/{{cookiecutter.deployment}}/Dockerfile",
}
OWN = "# mine\na==1\nb==3\nc==3 ; python_version < '3.11'\n\n"
THEIRS = """\
a==1 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
b==2 \\
    --hash=sha256:bb
c==3 ; python_version < '3.11' \\
    --hash=sha256:cc
uv==1 \\
    --hash=sha256:dd
"""
BOTH = """\
# mine
a==1 \\
    --hash=sha256:aa \\
    --hash=sha256:ab
b==3
c==3 ; python_version < '3.11' \\
    --hash=sha256:cc

"""


def test_both_locks_have_the_same_pins_and_every_pin_has_hashes() -> None:
    own, lock = CONSTRAINTS.read_text(), LOCK.read_text()
    assert pins(lock) == own.splitlines()
    assert without_hashes(own, lock) == []
    assert with_hashes(own, lock) == lock


def test_a_pin_that_its_owner_changed_has_no_hashes_and_the_others_keep_theirs() -> None:
    assert with_hashes(OWN, THEIRS) == BOTH
    assert without_hashes(OWN, THEIRS) == ["b==3"]
    assert without_hashes(BOTH, "") == ["b==3"]
    assert with_hashes(BOTH, THEIRS) == BOTH.replace("b==3", "b==3")
    assert with_hashes(OWN, "") == OWN


def test_the_owner_of_constraints_gets_their_hashes_by_the_command_that_is_named(tmp_path: Path) -> None:
    needs.registry()
    own = "".join(f"{pin}\n" for pin in pins(CONSTRAINTS.read_text()) if pin.startswith(("annotated-doc", "toposort")))
    (tmp_path / "constraints.txt").write_text(own)
    command = [uv.find_uv_bin(), *shlex.split(REFRESH)[1:]]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    lock = (tmp_path / HASHES).read_text()
    assert pins(lock) == own.splitlines()
    assert with_hashes(own, LOCK.read_text()) == lock


class Image:
    """What the lines of a Dockerfile do, in a separate folder."""

    def __init__(self, folder: Path, name: str) -> None:
        text = (REPOSITORY / DOCKERFILES[name]).read_text()
        plain = "".join(line for line in text.splitlines(keepends=True) if not line.startswith(("{%", "{#")))
        stages = read_image(plain.encode()).stages
        steps = [one.text for stage in stages for one in stage.instructions if one.keyword == "RUN"]
        self.steps = [step for step in steps if "constraints.txt" in step or "locked.txt" in step or "uv.txt" in step]
        self.folder, self.module = folder, folder / "module"
        self.place = self.module if name == "deployment" else folder
        self.module.mkdir()
        (self.module / "pyproject.toml").write_text(
            '[project]\nname = "it"\nversion = "1"\ndependencies = ["toposort"]\n'
        )

    def put(self, own: str, lock: str | None) -> None:
        (self.place / "constraints.txt").write_text(own)
        if lock is not None:
            (self.place / HASHES).write_text(lock)

    def run(self, step: str, **environ: str) -> subprocess.CompletedProcess[str]:
        here = step.replace("/opt/dagster/", f"{self.folder}/").replace("--system", f"--python {self.folder}/own")
        path = f"{self.folder}/own/bin:{os.defpath}"
        variables = {**os.environ, "PATH": path, "PIP_CONFIG_FILE": os.devnull, **environ}
        return subprocess.run(
            ["/bin/sh", "-c", here], cwd=self.place, env=variables, capture_output=True, text=True, check=False
        )


@pytest.fixture(params=[*DOCKERFILES])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Image:
    return Image(tmp_path, request.param)


@pytest.mark.parametrize(
    ("own", "lock", "made", "uv_is"),
    [
        (OWN, THEIRS, BOTH, "uv\n"),
        (OWN + "uv==1\n", THEIRS, BOTH + "uv==1 \\\n    --hash=sha256:dd\n", "uv==1 \\\n    --hash=sha256:dd\n"),
        (OWN + "uv==1\n" + OWN, None, OWN + "uv==1\n" + OWN, "uv==1\n"),
        (BOTH, THEIRS, BOTH, "uv\n"),
    ],
    ids=["another pin", "uv", "no lock", "other hashes"],
)
def test_an_image_puts_both_locks_together_as_the_program_does(
    image: Image, own: str, lock: str | None, made: str, uv_is: str
) -> None:
    image.put(own, lock)
    step = image.steps[0].partition(" && python3 -m pip")[0]
    done = image.run(step)
    assert (done.returncode, done.stderr) == (0, "")
    assert with_hashes(own, lock or "") == made
    name = "locked.txt" if image.place == image.module else "constraints.txt"
    assert (image.place / name).read_text() == made
    assert (image.place / "uv.txt").read_text() == uv_is


@pytest.mark.slow
@pytest.mark.parametrize("is_changed", [False, True], ids=["genuine", "changed"])
def test_an_image_takes_no_wheel_but_the_one_that_was_locked(image: Image, tmp_path: Path, *, is_changed: bool) -> None:
    """The very lines of the Dockerfile: uv is installed by its hashes, and refuses a wheel with a line more."""
    (tmp_path / "wheels").mkdir()
    wheel = index.genuine(tmp_path / "wheels")
    wheel = index.changed(wheel, tmp_path / "changed") if is_changed else wheel
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "own"], check=True)
    image.put(CONSTRAINTS.read_text(), LOCK.read_text())
    with index.serving(wheel) as address:
        done = [image.run(step, UV_INDEX=address) for step in image.steps]
    said = "".join(one.stderr for one in done)
    assert (f"Hash mismatch for `{index.PINNED}`" in said) == is_changed, said
    assert [one.returncode for one in done[:-1]] == [0] * (len(done) - 1) or is_changed, said
    assert any(one.returncode for one in done) == is_changed, said

"""What containers wrote as other users is deleted with its module."""

from __future__ import annotations

import io
import json
import os
import secrets
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs
from tests.cli.skill_page import SKILL, WISHES
from tests.cli.terminal import PROGRAM, Terminal
from tests.e2e.engine import Engine

pytestmark = pytest.mark.docker

#: A database's user in its container, who does not exist here.
SERVER = 999
#: Root without the rights to what others own: as a user whose files' owners are others, and who may use Docker.
AS_ANOTHER = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner", str(PROGRAM))


@pytest.fixture
def project(engine: Engine, workspace: Terminal) -> Iterator[str]:
    """Give a workspace's Compose project with an image that has a shell's programs, and remove all of it."""
    name = f"dmb-data-{secrets.token_hex(4)}"
    env = workspace.root / "services/dagster/.env"
    lines = [line for line in env.read_text().splitlines() if not line.startswith("COMPOSE_PROJECT_NAME=")]
    env.write_text("\n".join([*lines, f"COMPOSE_PROJECT_NAME='{name}'", ""]))
    workspace.environment.update(engine.environ)
    workspace.environment["HOME"] = str(workspace.cwd)
    shell = needs.program("busybox").read_bytes()
    packed = workspace.cwd / "image.tar"
    with tarfile.open(packed, "w") as archive:
        for program in ("sh", "ls", "rm", "mkdir", "chown"):
            member = tarfile.TarInfo(f"bin/{program}")
            member.size, member.mode = len(shell), 0o755
            archive.addfile(member, io.BytesIO(shell))
    image = f"{name}-dagster"
    engine.docker("import", "--change", "ENV PATH=/bin", packed, image)
    for key in ("dagster_storage", "weather_db_data"):
        labels = [f"--label=com.docker.compose.project={name}", f"--label=com.docker.compose.volume={key}"]
        engine.docker("volume", "create", *labels, f"{name}_{key}")
    inside = f"mkdir -p /volume/weather /volume/other && chown {SERVER} /volume/weather"
    engine.docker("run", "--rm", f"--volume={name}_dagster_storage:/volume", image, "sh", "-c", inside)
    yield name
    if running := engine.docker("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={name}").split():
        engine.docker("rm", "--force", *running)
    left = engine.docker("volume", "ls", "--quiet", f"--filter=label=com.docker.compose.project={name}").split()
    if left:
        engine.docker("volume", "rm", *left)
    engine.docker("image", "rm", image)


def test_outputs_of_other_users_and_old_volumes_go_in_one_command(
    engine: Engine, workspace: Terminal, project: str
) -> None:
    """FAULTS B7, B8: in a container where this user may not; a volume of a module that an older version removed."""
    stored = workspace.root / "data/storage/weather"
    (stored / "daily").mkdir(parents=True)
    (stored / "daily/rows").write_text("rows")
    for path in (stored, stored / "daily", stored / "daily/rows"):
        os.chown(path, SERVER, SERVER)
    refused = subprocess.run(["setpriv", *AS_ANOTHER[1:2], "rm", "-rf", stored], capture_output=True, check=False)
    assert refused.returncode
    listed = json.loads(workspace.done("workspace.list", "--data", "--json"))["data"]
    assert {one["module"]: one["data"] for one in listed} == {
        "weather": [
            f"the folder {stored}",
            f"the folder weather in the volume {project}_dagster_storage",
            f"the volume {project}_weather_db_data",
        ],
        "other": [f"the folder other in the volume {project}_dagster_storage"],
    }
    done = workspace.run("workspace.remove", "weather", "--delete-data", "--yes", "--json", program=AS_ANOTHER)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["deleted"]) == 3
    assert not stored.exists()
    listed = json.loads(workspace.done("workspace.list", "--data", "--json"))["data"]
    assert [one["module"] for one in listed] == ["other"]
    assert Path(workspace.root / "data/storage").is_dir()


def test_the_skills_wish_deletes_a_volume_that_a_container_holds(
    engine: Engine, workspace: Terminal, project: str
) -> None:
    """FAULTS P14: "away with it", typed as the skill says it: the container of the database still runs."""
    answers = ("--database=postgresql", "--governance=quick", "--starter=empty", "--no-input")
    workspace.done("new", "shop", "--workspace=no", "--deployment=no", *answers)
    workspace.done("workspace.add", "shop", "--no-check")
    volume, of_it = f"{project}_shop_db_data", f"--label=com.docker.compose.project={project}"
    engine.docker("volume", "create", of_it, "--label=com.docker.compose.volume=shop_db_data", volume)
    server = ["--detach", "--interactive", of_it, "--label=com.docker.compose.service=shop_db"]
    engine.docker("run", *server, f"--volume={volume}:/data", f"{project}-dagster", "sh", "-c", "read forever")
    _, _, change, data, folder = SKILL.section(WISHES[-1]).shell()
    for block in (change, data):
        assert volume in engine.docker("volume", "ls", "--quiet").split()
        for line in block.commands():
            said = workspace.done(*line.replace("nightly-pdfs", "shop").split()[1:])
            assert line != change.commands()[-1] or volume in said
    assert volume not in engine.docker("volume", "ls", "--quiet").split()
    assert engine.docker("ps", "--all", "--quiet", f"--filter=volume={volume}") == ""
    assert f"{project}_weather_db_data" in engine.docker("volume", "ls", "--quiet").split()
    assert "rm -r projects/nightly-pdfs" in folder.commands()

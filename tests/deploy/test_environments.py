"""Which environment a release has on a host: another one for other requirements, and for another interpreter."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.deploy.host_side import environments
from tests.deploy.host_here import host_here
from tests.deploy.quick_dagster import PYTHON
from tests.deploy.sites import Site

#: A Python whose environments are links to it; it tells its file and its version as the real one does.
INTERPRETER = """\
#!/bin/sh
real=$(readlink -f "$0")
case "$1 $2" in
    "-m venv") mkdir -p "$3/bin" && ln -s "$real" "$3/bin/python" && exec echo "version = 3.11.2" >"$3/pyvenv.cfg" ;;
    "-m pip") exit ;;
    "-c "*version_info*) exec echo "python: $real 3.11" ;;
    "-c "*find_spec*) exec echo storage: ;;
    "-ISuc "*) exec python3 "$@" ;;
esac
""" + PYTHON.partition("\n")[2]


def interpreter(site: Site, name: str) -> Path:
    path = site.host.folder / name
    path.write_text(INTERPRETER)
    path.chmod(0o755)
    return path


def choose(site: Site, **of_host: str) -> None:
    """Let releases have a separate environment, made with the host's ``python3``."""
    path = site.module / "deploy/yoda/deployment.yaml"
    data = yaml.safe_load(path.read_text())
    data["environment"] = {"kind": "venv", "python": str(site.host.folder / "python3")}
    data["hosts"][0].update(of_host)
    path.write_text(yaml.safe_dump(data))


def environment(site: Site) -> str:
    """Return the environment that Dagster is told of."""
    entry = yaml.safe_load((site.host.base / "workspace.yaml").read_text())["load_from"][0]["python_package"]
    return Path(entry["executable_path"]).parents[1].name


@pytest.fixture
def versed(quick: Site) -> Site:
    """Give a host whose ``python3`` is a link to one of two interpreters."""
    quick.host.environ["PATH"] = "/usr/bin:/bin"  # No uv: it would ask the interpreter much more.
    quick.host.restart()
    interpreter(quick, "new")
    (quick.host.folder / "python3").symlink_to(interpreter(quick, "old"))
    choose(quick)
    return quick


def move_link(site: Site) -> None:
    link = site.host.folder / "python3"
    link.unlink()
    link.symlink_to("new")


def name_another(site: Site) -> None:
    choose(site, python="~/new")


@pytest.mark.parametrize("change", [move_link, name_another])
def test_a_host_whose_interpreter_changes_gets_another_environment(
    versed: Site, change: Callable[[Site], None]
) -> None:
    """FAULTS D7: one that stays would run in an interpreter that is gone, or not the one that is named."""
    versed.deploy()
    first = environment(versed)
    versed.deploy()
    assert environment(versed) == first
    change(versed)
    versed.deploy()
    assert environment(versed) != first
    assert (versed.there / "venvs" / environment(versed) / "bin/python").resolve().name == "new"


def test_an_environment_of_an_earlier_version_stays_while_its_interpreter_does(versed: Site) -> None:
    """FAULTS D7: it was named after what ``deployment.yaml`` calls the interpreter."""
    named = str(versed.host.folder / "python3")
    old = hashlib.sha256(f"\0\0{named}".encode()).hexdigest()[:16]
    versed.deploy()
    (versed.there / "venvs" / environment(versed)).rename(versed.there / "venvs" / old)
    versed.deploy()
    assert environment(versed) == old
    move_link(versed)
    versed.deploy()
    assert environment(versed) != old


def test_an_interpreter_that_a_host_does_not_have_is_named(versed: Site) -> None:
    (versed.host.folder / "python3").unlink()
    with pytest.raises(Exception, match=r"python3 is not installed on the host\. Install it, or"):
        versed.deploy()


#: Has a program run here that Compose would have run in a container: ``in_container -w FOLDER SERVICE COMMAND…``.
IN_CONTAINER = '#!/bin/sh\ncd "$2" && shift 3 && exec "$@"\n'


@pytest.mark.parametrize(
    "upgrade",
    [
        lambda made: made.write_text(re.sub(r"= 3\.\d+", "= 3.9", made.read_text())),
        lambda made: made.with_name("bin").joinpath("python").unlink(),
    ],
    ids=["another version", "gone"],
)
def test_an_environment_in_a_container_is_made_again_for_the_interpreter_of_a_newer_image(
    upgrade: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stays would have its packages where the container's new interpreter looks for none."""
    (prefix := tmp_path / "in_container").write_text(IN_CONTAINER)
    prefix.chmod(0o755)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    (base := tmp_path / "srv").mkdir()
    host, where = host_here(base), {"prefix": [str(prefix)], "service": "webserver", "inside": str(base)}

    def build() -> dict[str, bool]:
        return environments.build_environment(host, "sales", "e1", "", "", sys.executable, where=where)

    made = base / "modules/sales/venvs/e1/pyvenv.cfg"
    assert [build(), build()] == [{"built": True}, {"built": False}]
    upgrade(made)
    assert [build(), build()] == [{"built": True}, {"built": False}]

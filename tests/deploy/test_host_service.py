"""The Dagster that ``deploy.setup --start`` makes on a native host: what it consists of, and how it is kept."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dagster_module_builder.base.errors import RefusedError as HereRefusedError
from dagster_module_builder.deploy.host_side import environments, running, service, systemd
from dagster_module_builder.deploy.host_side.errors import RefusedError
from dagster_module_builder.deploy.host_side.host import Host
from dagster_module_builder.deploy.hosts import host_service
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.setup import preview, set_up
from tests import needs
from tests.deploy import systemd_host
from tests.deploy.host_here import host_here
from tests.deploy.sites import Site
from tests.ports import free_port

PASSWORD = "s3cret-of-postgres"


def test_units_are_what_systemd_reads(tmp_path: Path) -> None:
    """FAULTS D7: with whatever characters the base path has."""
    needs.programs("systemd-analyze")
    surroundings = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    for number, name in enumerate(["plain", 'a "b" $c %d \\e ü']):
        folder = tmp_path / name
        folder.mkdir()
        program = folder / "python"
        program.symlink_to(sys.executable)
        units = []
        for process in service.PROCESSES:
            unit = tmp_path / f"dagster-{number}-{process}.service"
            unit.write_text(systemd.unit_text(str(folder), str(program), str(folder / "start.py"), process))
            units.append(unit)
        verify = ["systemd-analyze", "--user", "verify", *units]
        done = subprocess.run(verify, env=surroundings, check=False, capture_output=True, text=True)
        ours = [line for line in done.stderr.splitlines() if "dagster-" in line]
        assert (done.returncode, ours) == (0, []), done.stderr
    broken = tmp_path / "dagster-broken.service"
    broken.write_text("[Service]\nExecStart=not-absolute/x\n")
    refused = subprocess.run(
        ["systemd-analyze", "--user", "verify", broken], env=surroundings, check=False, capture_output=True
    )
    assert refused.returncode
    assert b"dagster-broken" in refused.stderr


def held(folder: Path) -> Host:
    """Give a host whose lock is held."""
    host = host_here(folder)
    host.lock = io.BytesIO()
    return host


def write(host: Host, **changes: object) -> dict[str, list[str]]:
    given = {"environment": "e" * 16, "port": 3000, "instance": host_service.instance(None), "environ": {}, **changes}
    return service.write_service(host, ".", **given)


def test_files_are_put_once_and_edits_stay(tmp_path: Path) -> None:
    """FAULTS D7: said twice, it changes nothing; what a person has edited is named, and left as it is."""
    host = held(tmp_path)
    assert len(write(host)["changed"]) == 3
    assert write(host) == {"changed": [], "kept": []}
    config = tmp_path / "dagster-service/home/dagster.yaml"
    config.write_text(config.read_text() + "# edited\n")
    assert write(host, port=3001) == {"changed": [str(tmp_path / "dagster-service/settings.json")], "kept": []}
    other = host_service.instance("postgresql://me@db.example:5433/runs")
    assert write(host, port=3001, instance=other)["kept"] == [str(config)]


def test_the_password_stands_in_one_private_file_and_no_arguments(tmp_path: Path) -> None:
    """FAULTS D7: Dagster hands ``dagster.yaml`` to its processes in their arguments."""
    host = held(tmp_path)
    text = host_service.instance("postgresql://me@db.example:5433/runs")
    write(host, instance=text, environ={host_service.PASSWORD: PASSWORD})
    server = yaml.safe_load(text)["storage"]["postgres"]["postgres_db"]
    assert server["password"] == {"env": "DAGSTER_POSTGRES_PASSWORD"}
    assert (server["hostname"], server["port"], server["username"], server["db_name"]) == (
        "db.example",
        5433,
        "me",
        "runs",
    )
    having = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD in path.read_text("utf-8", "replace")]
    assert [path.name for path in having] == ["settings.json"]
    assert having[0].stat().st_mode & 0o777 == 0o600
    settings = json.loads(having[0].read_text())
    assert PASSWORD not in json.dumps(settings["commands"])
    assert service.service_seen(host, ".") == {"made": True, "port": 3000, "has_password": True}
    # It stays when it is not given again.
    write(host, instance=text, port=3001)
    assert service.service_seen(host, ".")["has_password"]


def test_a_taken_port_is_named() -> None:
    """FAULTS D7: before anything is started that would end at it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RefusedError, match=f"Another program uses port {port} of the host"):
            running.refuse_taken(port)
    running.refuse_taken(port)


def test_a_process_that_ended_does_not_run(tmp_path: Path) -> None:
    """FAULTS D7: nor does another one that has its number now."""
    host = host_here(tmp_path)
    (tmp_path / "dagster-service").mkdir()
    file = tmp_path / "dagster-service/daemon.pid"
    process = subprocess.Popen(["sleep", "60"])
    file.write_text(json.dumps({"process": process.pid, "start": "of another one"}))
    assert running.process_of(host, ".", "daemon") is None
    start = running.start_of(process.pid)
    file.write_text(json.dumps({"process": process.pid, "start": start}))
    assert running.process_of(host, ".", "daemon") == process.pid
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert running.process_of(host, ".", "daemon") is None
    process.wait()
    assert running.process_of(host, ".", "daemon") is None


HASHED = """\
dagster==1.13.9 \\
    --hash=sha256:aaaa
dagster-webserver==1.13.9 \\
    --hash=sha256:bbbb
"""


def test_the_environment_is_locked_like_the_workspace() -> None:
    """FAULTS D7: the same versions, and their hashes where the workspace has them."""
    plain = host_service.environment("dagster==1.13.9\n", "/usr/bin/python3 3.11", has_postgresql=True)
    assert plain.requirements.split() == ["dagster", "dagster-webserver", "dagster-postgres"]
    assert plain.constraints == "dagster==1.13.9\n"
    hashed = host_service.environment(HASHED, "p 3.11", has_postgresql=False)
    assert (hashed.requirements.split(), hashed.constraints) == (["dagster", "dagster-webserver"], HASHED)
    assert host_service.versions(HASHED) == ["dagster==1.13.9", "dagster-webserver==1.13.9"]
    others = [("dagster==1.13.8\n", "/usr/bin/python3 3.11"), ("dagster==1.13.9\n", "/usr/bin/python3 3.12")]
    identities = {host_service.environment(lock, python, has_postgresql=True).identity for lock, python in others}
    assert plain.identity not in identities
    assert len(identities) == 2


def test_wrong_hashes_build_no_environment(tmp_path: Path) -> None:
    """FAULTS D7: whatever came from elsewhere is not run, and nothing half built stays."""
    needs.registry()
    host = host_here(tmp_path)
    lock = f"six==1.17.0 --hash=sha256:{'0' * 64}\n"
    with pytest.raises(RefusedError, match=r"(?is)environment of Dagster could not be built.*hash"):
        environments.build_service(host, ".", "a" * 16, "six\n", lock, sys.executable, 0)
    assert [*(tmp_path / "dagster-service").glob("environments/*")] == []


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.1:3000", "http://0.0.0.0:3000", "http://dagster.example:80", "http://127.0.0.1:3000/dagster"],
)
def test_only_the_host_itself_reaches_it(url: str) -> None:
    """FAULTS D7: Dagster has no login."""
    assert host_service.port_of("yoda", "http://localhost:3001") == 3001
    with pytest.raises(HereRefusedError, match=re.escape(f"Dagster cannot be started at {url}")):
        host_service.port_of("yoda", url)
    assert service.commands("python", 3001)["webserver"][3:7] == ["-h", "127.0.0.1", "-p", "3001"]


def test_an_old_python_is_named() -> None:
    host_service.refuse_old("yoda", "/usr/bin/python3.10 3.10")
    with pytest.raises(HereRefusedError, match=r"/usr/bin/python3\.9 is Python 3\.9"):
        host_service.refuse_old("yoda", "/usr/bin/python3.9 3.9")


def test_a_dagster_that_something_else_started_is_left(quick: Site) -> None:
    """FAULTS D7: nothing is built beside it; but one that cannot have this folder's locations has only the port."""
    (found,) = set_up(find(quick.root, "yoda"), start=True)
    assert (found["made"], found["files"]) == (False, [])
    assert "Another Dagster answers" in found["notes"][0]
    assert "nothing was stopped" in set_up(find(quick.root, "yoda"), stop=True)[0]["notes"][0]
    (quick.host.base / "workspace.yaml").unlink()
    for _ in range(2):
        (found,) = set_up(find(quick.root, "yoda"), start=True)
        assert f"another Dagster answers at {quick.dagster.url}" in found["error"]
    assert not (quick.host.base / "workspace.yaml").exists()


def test_what_would_be_done_is_told_and_not_done(quick: Site) -> None:
    """FAULTS D7: ``--dry-run``, where there is something and where there is nothing."""
    (found,) = preview(find(quick.root, "yoda"), start=True)
    assert found["would"] == ["Would leave the Dagster that answers already as it is."]
    quick.dagster.stop()
    (found,) = preview(find(quick.root, "yoda"), start=True)
    assert found["would"][0].startswith("Would build Dagster's environment with")
    assert not (quick.host.base / "dagster-service").exists()
    set_up(find(quick.root, "yoda"))
    assert not (quick.host.base / "dagster-service").exists()


def test_systemd_starts_it_again_and_stops_it(tmp_path: Path) -> None:
    """FAULTS D7: a real ``systemd --user``; said twice it changes nothing, and a process that fails comes back."""
    needs.root()
    needs.programs("systemctl", "loginctl", "unshare")
    base, port = tmp_path / "srv", free_port()
    base.mkdir()
    systemd_host.furnish(base, port)
    script = tmp_path / "inside"
    script.write_text(systemd_host.INSIDE)
    command = ["unshare", "--mount", "sh", script, sys.executable, "-m", "tests.deploy.systemd_host", base, str(port)]
    environ = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(Path.cwd())}
    environ.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["first"]["by"], found["first"]["started"]) == ("systemd", ["webserver", "daemon"])
    assert found["again"]["started"] == []
    assert (found["restarted"], found["enabled"]) == (True, "enabled")
    assert (found["stopped"], found["left"]) == ({"stopped": ["webserver", "daemon"]}, [])
    assert found["enabled_after"] == "disabled"

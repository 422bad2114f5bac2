"""What ``.env.deploy`` says is what the processes on the host see."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values

from dagster_module_builder.base.errors import BuilderError, DamagedFileError
from dagster_module_builder.deploy.model import host_settings
from dagster_module_builder.shared_files.formats import env_file, env_value
from tests.deploy.sites import Site
from tests.engine.env_values import PEM, WANTED, as_compose_reads


def value_file(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_bytes(content)
    return path


def test_every_text_reaches_the_process_on_the_host(quick: Site) -> None:
    """FAULTS C6: as the check of the definitions sees it, as Dagster reads the host's file, and as Compose does."""
    wanted = {f"SALES_REPORT_V{number}": value for number, value in enumerate(WANTED)}
    text = "".join(f"{name}={env_value.written(value)}\n" for name, value in wanted.items())
    (quick.module / "deploy/yoda/.env.deploy").write_text(text)
    seen = quick.root / "seen.json"
    (quick.module / "src/sales_report_dagster/definitions.py").write_text(
        "import json, os, pathlib\n\nfrom .value import VALUE\n\ndefs = VALUE\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(dict(os.environ)))\n"
    )
    # One that comes from a file is like the others.
    (quick.module / ".env.example").write_text("SALES_REPORT_KEY=''\n")
    wanted["SALES_REPORT_KEY"] = json.dumps({"key": PEM})
    value_file(quick.module / "deploy/yoda/secrets/key.json", wanted["SALES_REPORT_KEY"].encode())
    (quick.module / "deploy/yoda/.env.deploy").write_text(text + "SALES_REPORT_KEY_FILE='secrets/key.json'\n")
    quick.deploy()
    environ = json.loads(seen.read_text())
    assert {name: environ[name] for name in wanted} == wanted
    assert dotenv_values(quick.host.base / ".env") == wanted
    assert as_compose_reads(quick.root, (quick.host.base / ".env").read_bytes()) == wanted


@pytest.mark.parametrize("line", [b"SALES_REPORT_A='gr\xf6\xdfe'\n", b"PATH='/x'\n", b"DAGSTER_HOME='/x'\n"])
def test_what_would_break_the_host_is_refused_before_it_is_spoken_to(quick: Site, line: bytes) -> None:
    """FAULTS C6: bytes that are not UTF-8, and variables of the machine."""
    (quick.module / "deploy/yoda/.env.deploy").write_bytes(line)
    with pytest.raises(BuilderError, match=r"\.env\.deploy:1: "):
        quick.deploy()
    assert not quick.there.exists()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A deployment's folder in a repository, of a module that explains ``S_KEY`` and ``S_OWN_FILE``."""
    folder = tmp_path / "sales/deploy/yoda"
    (folder / "secrets").mkdir(parents=True)
    (tmp_path / "sales/.env.example").write_text("# S_KEY=''\nS_OWN=''\nS_OWN_FILE=''\n")
    (folder / ".gitignore").write_text("/secrets/\n.env.deploy\n")
    (folder / ".env.deploy").touch(0o600)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return folder


def settings_of(folder: Path, text: str) -> dict[str, str]:
    (folder / ".env.deploy").write_text(text)
    return env_file.values(host_settings.read(folder))


def cure(folder: Path, line: str) -> tuple[str, str]:
    """Return what is said of a line, and the command that it names."""
    with pytest.raises(DamagedFileError) as refused:
        settings_of(folder, line)
    assert refused.value.place == f"{folder / '.env.deploy'}:1"
    return refused.value.problem, refused.value.way_out.partition("Run '")[2].partition("'")[0]


@pytest.mark.parametrize("content", [PEM, json.dumps({"key": PEM}), "it's\\ \r\n", "", "x" * host_settings.MOST])
def test_a_value_comes_from_a_file(folder: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAULTS C6: ``NAME_FILE`` sets NAME to exactly what the file has, wherever the file is."""
    path = value_file(folder / "secrets/key", content.encode())
    monkeypatch.setenv("HOME", str(folder))
    for named in ("secrets/key", str(path), "~/secrets/key"):
        assert settings_of(folder, f"# why\nA=1\nS_KEY_FILE='{named}'\nB=2\n") == {"A": "1", "S_KEY": content, "B": "2"}


def test_what_the_module_reads_by_itself_is_left_alone(folder: Path) -> None:
    """FAULTS C6: a variable that is called so, and one whose other half no module explains."""
    given = {"S_OWN_FILE": "/on/the/host", "S_STRANGE_FILE": "/there"}
    assert settings_of(folder, "".join(f"{name}='{value}'\n" for name, value in given.items())) == given


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"${x}", b"$a \\\\b", b"$a\\"])
def test_what_no_setting_can_hold_is_refused_with_a_cure_that_works(folder: Path, content: bytes) -> None:
    """FAULTS C6: the command of the message makes a file whose value the code decodes."""
    value_file(folder / "secrets/it's key", content)
    with pytest.raises(DamagedFileError) as refused:
        settings_of(folder, "S_KEY_FILE='secrets/it\\'s key'\n")
    command = refused.value.way_out.removeprefix("Run '").partition("', name")[0]
    subprocess.run(["sh", "-c", command], check=True)
    encoded = settings_of(folder, "S_KEY_FILE='secrets/it\\'s key.b64'\n")["S_KEY"]
    assert base64.b64decode(encoded) == content


def test_a_file_that_others_get_is_refused_with_the_command(folder: Path) -> None:
    """FAULTS C6: others on this machine, and those who get the repository."""
    path = value_file(folder / "key", b"canary")
    line = "S_KEY_FILE=key\n"
    for said in ("would be committed with the module", "can be read by others", "is committed"):
        if said == "can be read by others":
            path.chmod(0o640)
        if said == "is committed":
            subprocess.run(["git", "-C", str(folder), "add", "--force", "key"], check=True)
        found, command = cure(folder, line)
        assert said in found
        subprocess.run(["sh", "-c", command], check=True, capture_output=True)
    assert settings_of(folder, line) == {"S_KEY": "canary"}


def test_a_file_that_is_not_there_or_too_much_is_refused(folder: Path) -> None:
    """FAULTS C6: with the line."""
    assert "does not exist" in cure(folder, "S_KEY_FILE=nowhere\n")[0]
    assert "does not exist" in cure(folder, "S_KEY_FILE='~no-such-user/key'\n")[0]
    value_file(folder / "secrets/big", b"x" * (host_settings.MOST + 1))
    assert "is larger than 120 KiB" in cure(folder, "S_KEY_FILE=secrets/big\n")[0]
    value_file(folder / "secrets/key", b"x")
    assert "S_KEY is set here" in cure(folder, "S_KEY=1\nS_KEY_FILE=secrets/key\n")[0]

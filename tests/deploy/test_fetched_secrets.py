"""Values of ``.env.deploy`` from commands and encrypted files: real age, pass and sops; seen only on the host."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dagster_module_builder.base.errors import DamagedFileError
from dagster_module_builder.deploy.model.deployment import find
from dagster_module_builder.deploy.rollback import change_settings
from dagster_module_builder.shared_files.formats import env_file
from tests import needs
from tests.deploy.modules import set_value
from tests.deploy.program import run
from tests.deploy.sites import Site

CANARY = 'Canary7 it\'s "fetched" $HOME'
PLAIN = "s3cret-of-production"


def settings(site: Site, text: str) -> Path:
    path = site.module / "deploy/yoda/.env.deploy"
    path.write_text(f"SALES_REPORT_TOKEN='{PLAIN}'\n{text}")
    return path


def on_host(site: Site) -> dict[str, str]:
    """Return the settings of the release that runs."""
    return env_file.values((site.there / f"env/{site.current()}.env").read_bytes())


def age_identity(folder: Path) -> tuple[Path, str]:
    """Make a key of age; return its file, and the recipient."""
    needs.programs("age", "age-keygen")
    identity = folder / "identity.txt"
    said = subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True, text=True).stderr
    return identity, said.split()[-1]


def test_a_command_gives_a_value_once_for_a_deployment(quick: Site, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    settings(quick, f"OTHER='!command echo once >> {calls}; echo from the vault'\n")
    (outcome,) = quick.deploy()
    assert not outcome.problems
    assert on_host(quick)["OTHER"] == "from the vault"
    assert calls.read_text() == "once\n"
    # With new settings alone it is fetched again.
    change_settings(find(quick.root, "yoda"))
    assert calls.read_text() == "once\nonce\n"


def test_age_decrypts_a_file(quick: Site, tmp_path: Path) -> None:
    identity, recipient = age_identity(tmp_path)
    folder = quick.module / "deploy/yoda/secrets"
    folder.mkdir()
    age = ["age", "--encrypt", "--recipient", recipient, "--output", folder / "token.age"]
    subprocess.run(age, input=CANARY.encode(), check=True)
    settings(quick, f"OTHER='!age secrets/token.age {identity}'\n")
    quick.deploy()
    assert on_host(quick)["OTHER"] == CANARY
    identity.unlink()
    with pytest.raises(DamagedFileError, match="the age file of OTHER failed with exit status 1"):
        quick.deploy()


def test_sops_decrypts_a_value_of_a_file(quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sops = Path(sys.executable).with_name("sops")
    needs.need(sops.exists(), "sops")
    identity, recipient = age_identity(tmp_path)
    monkeypatch.setenv("SOPS_AGE_KEY_FILE", str(identity))
    monkeypatch.setenv("PATH", f"{sops.parent}:{os.environ['PATH']}")
    path = quick.module / "deploy/yoda/production.json"
    path.write_text(json.dumps({"database": {"password": CANARY}}))
    subprocess.run([sops, "--encrypt", "--age", recipient, "--in-place", path], check=True)
    assert CANARY not in path.read_text()
    settings(quick, "OTHER='!sops production.json database password'\n")
    quick.deploy()
    assert on_host(quick)["OTHER"] == CANARY


def test_pass_gives_a_value(quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.programs("pass", "gpg")
    # A socket's path must be short.
    home = Path(f"/tmp/gpg-{os.getpid()}")
    home.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    monkeypatch.setenv("PASSWORD_STORE_DIR", str(tmp_path / "store"))
    try:
        batch = ["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", ""]
        subprocess.run([*batch, "--quick-generate-key", "ada@example.org"], check=True, capture_output=True)
        subprocess.run(["pass", "init", "ada@example.org"], check=True, capture_output=True)
        text = f"{CANARY}\n".encode()
        subprocess.run(["pass", "insert", "--multiline", "yoda/token"], input=text, check=True, capture_output=True)
        settings(quick, "OTHER='!command pass show yoda/token'\n")
        quick.deploy()
        assert on_host(quick)["OTHER"] == CANARY
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)
        subprocess.run(["rm", "-rf", home], check=True)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("!command echo Canary7; echo Canary7 >&2; exit 3", "the command of OTHER failed with exit status 3"),
        ("!command no-such-program", r"exit status 127 \(the program is not installed\)"),
        ("!command true", "the command of OTHER gave nothing"),
        ("!command head -c 200000 /dev/zero | tr '\\\\0' a", "gave more than 120 KiB"),
        ("!command printf '\\\\377'", "not UTF-8"),
        ("!command printf 'a%sCanary7}b' '$''{'", "read differently however it is quoted"),
        ("!age 'secrets", "cannot be split into words"),
        ("!command sleep 60", "did not end within 1 seconds"),
    ],
)
def test_a_command_that_fails_names_the_variable_and_not_its_output(
    quick: Site, value: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dagster_module_builder.deploy.model.host_secrets.LIMIT", 1 if "sleep" in value else 60)
    quoted = value.replace("'", "\\'").replace("\\\\", "\\")
    settings(quick, f"OTHER='{quoted}'\n")
    with pytest.raises(DamagedFileError, match=words) as caught:
        quick.deploy()
    assert ".env.deploy:2" in str(caught.value)
    assert "Canary7" not in str(caught.value).replace(value, "")
    assert not quick.there.exists()


def test_what_was_fetched_is_nowhere_but_in_private_files_of_the_host(quick: Site, tmp_path: Path) -> None:
    """In no file here, no argument of any process, and no output."""
    source = tmp_path / "vault"
    source.write_text("FetchedCanary7")
    settings(quick, f"OTHER='!command cat {source}'\n")
    seen: list[str] = []
    watching = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(os.getpid())], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    shown = ""
    for task in (
        ["deploy", "yoda", "--allow-dirty", "--dry-run"],
        ["deploy", "yoda", "--allow-dirty", "--no-settle"],
        ["deploy.check", "yoda"],
        ["deploy.env", "yoda"],
    ):
        done = run(quick.root, *task, *([] if "check" in task[0] else ["--trust"]))
        assert done.returncode in {0, 1}, done.stderr
        shown += done.stdout + done.stderr
    set_value(quick.module, 2)
    assert quick.running()
    seen.append(watching.communicate("stop\n", 30)[0])
    assert "FetchedCanary7" not in shown + "".join(seen)
    assert on_host(quick)["OTHER"] == "FetchedCanary7"
    source.unlink()
    for path in tmp_path.rglob("*"):
        if path.is_file() and b"FetchedCanary7" in path.read_bytes():
            assert path.is_relative_to(quick.host.base), path
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    state = Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local/state")) / "dagster-module-builder"
    for path in state.rglob("*"):
        assert not path.is_file() or b"FetchedCanary7" not in path.read_bytes(), path


#: Looks at the arguments of all processes until it is told to stop.
WATCH = r"""
import pathlib, select, sys, time
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes()
        except OSError:
            continue
        if b"FetchedCanary7" in text and b"pathlib" not in text:
            print(text)
            time.sleep(0.1)
"""


def test_commands_of_settings_need_consent(quick: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "false")  # A pipeline has consent.
    mark = tmp_path / "mark"
    settings(quick, f"OTHER='!command touch {mark}; echo x-and-y'\n")
    for task in (
        ["deploy", "yoda", "--allow-dirty"],
        ["deploy", "yoda", "--allow-dirty", "--dry-run"],
        ["deploy.env", "yoda"],
    ):
        done = run(quick.root, *task)
        assert done.returncode
        assert "--trust" in done.stderr
    run(quick.root, "deploy.check", "yoda")
    assert not mark.exists()
    assert run(quick.root, "deploy", "yoda", "--allow-dirty", "--no-settle", "--trust").returncode == 0
    assert mark.exists()
    assert re.search(r"^OTHER='x-and-y'$", (quick.there / f"env/{quick.current()}.env").read_text(), re.MULTILINE)

"""configure-deployment: complete files, new secrets, and a schema for editors."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from cookiecutter.main import cookiecutter

from dagster_module_builder.base.errors import RefusedError, UsageError
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.deploy.deploy import release_of
from dagster_module_builder.deploy.model.deployment import find, read_deployment
from dagster_module_builder.deploy.model.schema import problem_with
from dagster_module_builder.deploy.questions import detected
from dagster_module_builder.deploy.strategies.base import Strategy, load_steps
from dagster_module_builder.shared_files.formats import env_file, env_value
from deploy_strategies import strategy_folder
from deploy_strategies.folders import names
from tests.deploy.deployment_answers import ANSWERS
from tests.deploy.modules import make_module


@pytest.fixture
def module(tmp_path: Path) -> Path:
    module = make_module(tmp_path)
    (module / "workspace/local/.env").write_text(
        "SALES_REPORT_DB_PORT='5441'\nSALES_REPORT_DB_NAME='sales'\nSALES_REPORT_DB_USER='u'\n"
        "SALES_REPORT_DB_PASSWORD='of-this-machine'\nSALES_REPORT_WEBHOOK_URL='https://local.example/x'\n"
    )
    (module / "workspace/local/docker-compose.yml").write_text(
        "services:\n  sales_report_db:\n    image: postgres:16\n"
    )
    services = tmp_path / "services/dagster"
    services.mkdir(parents=True)
    (services / ".env").write_text("WORKSPACE_NETWORK='their-net'\n")
    return module


#: Those that bring releases to hosts.
STRATEGIES = [name for name in names() if isinstance(load_steps(name), Strategy)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_files_are_complete_and_valid(tmp_path: Path, module: Path, strategy: str) -> None:
    made = configure(tmp_path, module, strategy, ANSWERS)
    files = {path.name for path in made.folder.iterdir()}
    assert {"deployment.yaml", ".env.deploy", ".env.deploy.example", "DEPLOYMENT.md", "known_hosts"} <= files
    deployment = read_deployment(made.folder)
    assert deployment.data["client"] == ANSWERS["client"]
    assert [str(host) for host in deployment.hosts] == ["a.example", "b.example:2222", "[2001:db8::1]:22"]
    assert deployment.data["database"] == {"type": "postgresql", "port": 5441}
    assert deployment.data["network"] == "their-net"
    assert "{{" not in (made.folder / "DEPLOYMENT.md").read_text()
    first, *_ = (made.folder / "deployment.yaml").read_text().splitlines()
    schema = made.folder / first.partition("$schema=")[2]
    assert json.loads(schema.read_text())["properties"][strategy]


def test_a_dagster_in_containers(tmp_path: Path, module: Path) -> None:
    answers = {"dagster_kind": "compose", "dagster_folder": "services/dagster", "run_launcher": "docker"}
    made = configure(tmp_path, module, "git", {**ANSWERS, **answers})
    dagster = read_deployment(made.folder).data["dagster"]
    assert (dagster["kind"], dagster["base_inside"], dagster["run_launcher"]) == ("compose", "/workspace", "docker")
    with pytest.raises(UsageError, match="run_launcher"):
        configure(tmp_path, module, "git", {**ANSWERS, **answers, "deployment": "leia", "run_launcher": "kubernetes"})


def test_secrets_are_new_and_private(tmp_path: Path, module: Path) -> None:
    made = configure(tmp_path, module, "rsync", ANSWERS)
    text = (made.folder / ".env.deploy").read_text()
    assert (made.folder / ".env.deploy").stat().st_mode & 0o777 == 0o600
    assert "of-this-machine" not in text
    assert "local.example" not in text
    assert "SALES_REPORT_DB_PORT='5441'" in text
    assert made.empty == ("SALES_REPORT_WEBHOOK_URL",)
    password = text.partition("SALES_REPORT_DB_PASSWORD='")[2].partition("'")[0]
    assert len(password) > 20
    everything = "".join(path.read_text() for path in made.folder.iterdir() if path.name != ".env.deploy")
    assert password not in everything
    other = configure(tmp_path, module, "rsync", {**ANSWERS, "deployment": "leia"})
    assert password not in (other.folder / ".env.deploy").read_text()


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://app:canary@db/x",
        "canary",
        "aGVsbG8gY2FuYXJ5Cg==",
        "-----BEGIN KEY-----\ncanary\n",
        '{"key": "canary"}',
    ],
)
@pytest.mark.parametrize("name", ["DATABASE_URL", "PASSPHRASE", "PLAIN", "MYSQL_PWD"])
def test_the_committed_example_has_only_what_is_harmless(tmp_path: Path, module: Path, name: str, value: str) -> None:
    """FAULTS A1: whatever a variable is called, a value that is not known to be harmless stays out of git."""
    env = module / "workspace/local/.env"
    env.write_text(f"{env.read_text()}SALES_REPORT_{name}={env_value.written(value)}\nSALES_REPORT_LIMIT='25'\n")
    made = configure(tmp_path, module, "rsync", ANSWERS)
    example = env_file.values((made.folder / ".env.deploy.example").read_bytes())
    assert example[f"SALES_REPORT_{name}"] == "change-me"
    assert (example["SALES_REPORT_LIMIT"], example["SALES_REPORT_DB_USER"]) == ("25", "u")
    everything = "".join(path.read_text() for path in made.folder.iterdir())
    assert "canary" not in everything
    assert value not in everything
    assert f"SALES_REPORT_{name}" in made.empty
    with pytest.raises(RefusedError, match=f"SALES_REPORT_{name} has no value yet"):
        release_of(read_deployment(made.folder), allow_dirty=True)


def test_git_sees_the_example_only(tmp_path: Path, module: Path) -> None:
    (module / ".gitignore").write_text(".env\n.env.*\n!.env.example\n")
    configure(tmp_path, module, "rsync", ANSWERS)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
    listed = subprocess.run(["git", "ls-files", "*env*"], cwd=module, check=True, capture_output=True, text=True).stdout
    assert listed.splitlines() == ["deploy/yoda/.env.deploy.example"]


def test_same_name_in_several_modules(tmp_path: Path, module: Path) -> None:
    make_module(tmp_path, "stock")
    configure(tmp_path, module, "rsync", ANSWERS)
    configure(tmp_path, tmp_path / "projects/stock", "git", ANSWERS)
    assert [one.names.name for one in find(tmp_path, "yoda")] == ["sales-report", "stock"]
    assert [one.names.name for one in find(tmp_path, "yoda", ["stock"])] == ["stock"]
    with pytest.raises(RefusedError, match="other"):
        find(tmp_path, "yoda", ["other"])


def test_existing_deployment_stays(tmp_path: Path, module: Path) -> None:
    made = configure(tmp_path, module, "rsync", ANSWERS)
    before = {path: path.read_bytes() for path in made.folder.iterdir()}
    with pytest.raises(RefusedError, match="exists already"):
        configure(tmp_path, module, "rsync", ANSWERS)
    assert {path: path.read_bytes() for path in made.folder.iterdir()} == before


@pytest.mark.parametrize(
    "answers",
    [
        {"deployment": "../evil"},
        {"deployment": ""},
        {"hosts": "-oProxyCommand=x"},
        {"hosts": "a b"},
        {"hosts": ""},
        {"user": "$(x)"},
        {"base_path": "relative"},
        {"client": "two\nlines"},
        {"dagster_url": "file:///etc/passwd"},
    ],
)
def test_bad_answer_leaves_nothing(tmp_path: Path, module: Path, answers: dict[str, str]) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((UsageError, RefusedError)):
        configure(tmp_path, module, "rsync", {**ANSWERS, **answers})
    assert [path for path in sorted(tmp_path.rglob("*")) if path not in before and path.name != "deploy"] == []


def test_jinja_in_an_answer_stays_text(tmp_path: Path, module: Path) -> None:
    made = configure(tmp_path, module, "rsync", {**ANSWERS, "client": "{{ 1 + 1 }} {% raw %}"})
    assert read_deployment(made.folder).data["client"] == "{{ 1 + 1 }} {% raw %}"


def test_template_works_by_hand(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {tmp_path / 'replay'}\ncookiecutters_dir: {tmp_path / 'cookiecutters'}\n")
    for strategy in ("git", "rsync", "docker"):
        made = Path(
            cookiecutter(
                str(strategy_folder(strategy)),
                no_input=True,
                output_dir=str(tmp_path / strategy),
                config_file=str(config),
            )
        )
        assert problem_with(yaml.safe_load((made / "deployment.yaml").read_text())) is None
        assert (made / ".env.deploy").stat().st_mode & 0o777 == 0o600


def test_detection_without_database(tmp_path: Path) -> None:
    module = make_module(tmp_path, "plain")
    assert detected(tmp_path, module, "rsync") == {"module": "plain", "database": "none"}

"""configure-deployment: complete files, new secrets, and a schema for editors."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from cookiecutter.main import cookiecutter

from dagster_module_builder.base.errors import RefusedError, UsageError
from dagster_module_builder.deploy.configure import configure, judge
from dagster_module_builder.deploy.deploy import release_of
from dagster_module_builder.deploy.model.deployment import find, read_deployment
from dagster_module_builder.deploy.model.schema import problem_with, schema
from dagster_module_builder.deploy.questions import detected, questionnaire, strategies
from dagster_module_builder.deploy.strategies.base import Strategy, load_steps
from dagster_module_builder.shared_files.formats import env_file, env_value
from dagster_module_builder.templating.questionnaire import questions_of
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
    with pytest.raises(UsageError, match="run launcher"):
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


def _patterns(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield path, schema
        for name, inner in schema.items():
            yield from _patterns(inner, f"{path}/{name}")


def test_every_rule_that_is_a_pattern_is_also_said_in_words() -> None:
    """FAULTS G: no message shows a regular expression."""
    found = dict(_patterns(schema()))
    assert len(found) > 30
    for path, rule in found.items():
        words = rule.get("patternErrorMessage", "")
        assert words, path
        assert not set("^$[") & set(words), path


@pytest.mark.parametrize(
    ("strategy", "answers", "said"),
    [
        ("docker", {"registry": "hub.example/team"}, "docker.registry is 'hub.example/team': write host or host:port"),
        ("git", {"hosts": "a:port"}, "hosts[0].port is 'port': write a number from 1 to 65535"),
        ("rsync", {"keep": "1"}, "keep is '1': write a number from 2 to 100"),
        ("docker", {"database_port": "x", "database": "mysql"}, "database.port is 'x': write a number from 1 to 65535"),
    ],
)
def test_a_wrong_answer_is_explained_in_words(
    tmp_path: Path, module: Path, strategy: str, answers: dict[str, str], said: str
) -> None:
    """FAULTS G, and what is said to the program is said at the prompt, too."""
    with pytest.raises((UsageError, RefusedError)) as refused:
        configure(tmp_path, module, strategy, {**ANSWERS, **answers})
    assert "^" not in str(refused.value)
    assert said in str(refused.value)
    name = next(iter(answers))
    asked = replace(questionnaire(strategy), judge=judge(tmp_path, module, strategy, None))
    assert said in (asked.problem_with(asked[name], {**ANSWERS, **answers}) or "")


@pytest.mark.parametrize("strategy", names())
def test_a_strategy_says_when_to_choose_it_and_asks_little(strategy: str) -> None:
    asked = questions_of(strategy_folder(strategy))
    known = {question.name for question in asked}
    assert 10 < len(asked.choose_it) < 55
    assert sum(question.is_asked for question in asked) <= 8
    # An example is no answer.
    assert {question.name for question in asked if question.is_needed} >= {"client", "hosts"} & known
    for question in asked:
        assert set(question.only) <= known, question.name


def test_git_is_offered_first() -> None:
    assert strategies()[:2] == ["git", "rsync"]
    assert set(strategies()) == set(names())


@pytest.mark.parametrize("client", ["Dúo GmbH", 'A & B "Söhne" \\ Co', "L'Oréal #1: x"])
def test_a_clients_name_is_written_as_people_write_it(tmp_path: Path, module: Path, client: str) -> None:
    r"""FAULTS G: `client: "D\u00fao GmbH"` in a file for people."""
    made = configure(tmp_path, module, "git", {**ANSWERS, "client": client})
    text = (made.folder / "deployment.yaml").read_text("utf-8")
    assert read_deployment(made.folder).data["client"] == client
    assert "\\u" not in text
    assert f"to the hosts of {client}." in text

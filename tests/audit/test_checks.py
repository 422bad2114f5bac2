"""Each check: what it finds, and what it leaves alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest

from dagster_module_builder.audit import secret_scan
from dagster_module_builder.audit.audited_module import AuditedModule
from dagster_module_builder.audit.checks import CHECKS, Always
from dagster_module_builder.audit.run import audit
from dagster_module_builder.base import baseline
from dagster_module_builder.deploy.configure import configure
from dagster_module_builder.modules import unfinished
from dagster_module_builder.upgrade.run import upgrade
from tests.audit.findings import messages, result, status
from tests.audit.projects import OTHERS, SCAFFOLD, SINGLE_FILE, write
from tests.edits import edit

PACKAGE = "src/sales_report_dagster"
DOCS = Path(__file__).parents[2] / "docs/reference/audit-checks.md"


def test_a_fresh_module_only_lacks_a_deployment(root: Path, module: Path) -> None:
    found = audit(root, module)
    assert {one.check for one in found.results if one.status not in {"PASS", "SKIP"}} == {"deployments"}
    assert found.overall == "GOOD"


def test_every_check_has_its_section_in_the_documentation() -> None:
    headings = set(re.findall(r"^### (\S+)$", DOCS.read_text(), re.MULTILINE))
    assert headings == set(CHECKS)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def unfinished_upgrade(module: Path) -> None:
    place = unfinished.path_of(module.parents[1], module.name)
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"")


BREAKAGES = {
    "syntax": lambda module: (module / PACKAGE / "assets.py").write_text("def broken(:\n"),
    "definitions": lambda module: [
        (module / PACKAGE / "definitions.py").unlink(),
        edit(module / "workspace/local/workspace.yaml", ".definitions", ".gone"),
    ],
    "resources-file": lambda module: (module / PACKAGE / "resources.py").rename(module / PACKAGE / "things.py"),
    "io-manager": lambda module: (module / PACKAGE / "storage.py").write_text('"""class S(dg.UPathIOManager)"""\n'),
    "storage-path": lambda module: edit(
        module / PACKAGE / "storage.py",
        "os.environ.get(STORAGE_VARIABLE) or DEFAULT_STORAGE",
        '"/var/outputs"',
    )
    or edit(module / PACKAGE / "storage.py", 'STORAGE_VARIABLE = "DAGSTER_STORAGE_DIR"', 'STORAGE_VARIABLE = "OTHER"')
    or edit(module / PACKAGE / "storage.py", '"/tmp/dagster_storage"', '"/var/outputs"'),
    "io-manager-registered": lambda module: edit(module / PACKAGE / "resources.py", '"io_manager"', '"storage"'),
    "asset-keys": lambda module: edit(module / PACKAGE / "assets.py", "key_prefix=NAME,", ""),
    "schedule-timezones": lambda module: edit(module / PACKAGE / "schedules.py", '    execution_timezone="UTC",\n', ""),
    "fragments": lambda module: (module / "workspace/local/dockerfile.snippet").unlink(),
    "fragments-fit": lambda module: edit(module / "workspace/local/workspace.yaml", "load_from:", "locations:"),
    "fragment-settings": lambda module: edit(
        module / "workspace/local/docker-compose.yml", "    restart: unless-stopped", "    privileged: true"
    ),
    "variables-set": lambda module: edit(module / "workspace/local/docker-compose.yml", "_DB_NAME}", "_DATABASE}"),
    "compose-lint": lambda module: edit(module / "workspace/local/docker-compose.yml", "127.0.0.1:$", "$"),
    "dockerfile-lint": lambda module: (module / "workspace/local/dockerfile.snippet").write_text(
        "RUN apt-get update \\\n    && apt-get install --yes ffmpeg\n"
    ),
    "secrets": lambda module: (module / PACKAGE / "client.py").write_text('KEY = "AKIAIOSFODNN7EXAMPLQ"\n'),
    "secret-modes": lambda module: (module / "workspace/local/.env").chmod(0o644),
    "variables-documented": lambda module: (module / PACKAGE / "client.py").write_text(
        'import os\n\nURL = os.environ["SALES_REPORT_URL"]\n'
    ),
    "variables-given": lambda module: (module / PACKAGE / "client.py").write_text(
        'import dagster as dg\n\nNAME = "SALES_REPORT"\nURL = dg.EnvVar(f"{NAME}_URL")\n'
    ),
    "variables-example": lambda module: append(module / ".env.example", "SALES_REPORT_MORE=''\n"),
    "deployments": lambda module: shutil.rmtree(module / "deploy"),
    "requirements-stated": lambda module: edit(module / "pyproject.toml", '"dagster>=1.13,<1.14",', ""),
    "dagster-version": lambda module: edit(module / "pyproject.toml", '"dagster>=1.13,<1.14"', '"dagster==1.9.0"'),
    "hashes": lambda module: edit(module / "constraints.txt", "toposort==1.10\n", "toposort==1.9\n"),
    "template-version": lambda module: edit(
        module / ".dagster-module.json", '"template_version": "', '"template_version": "0.'
    ),
    "switched-off": lambda module: edit(module / "pyproject.toml", "for now", ""),
    "clashes": lambda module: write(
        module.with_name("stock"),
        {"workspace/local/.env": (module / "workspace/local/.env").read_text().replace("SALES_REPORT", "STOCK")},
    ),
    "secrets-ignored": lambda module: (module / ".gitignore").unlink(),
    "deployments-read": lambda module: (module / "deploy/production/deployment.yaml").write_text("{}\n"),
    "deployments-env": lambda module: [path.unlink() for path in module.glob("deploy/production/.env.deploy*")],
    "upgrade-unfinished": unfinished_upgrade,
    "tests": lambda module: shutil.rmtree(module / "tests"),
}  # fmt: skip


def deployed(module: Path) -> None:
    answers = {"deployment": "production", "client": "A", "hosts": "a.example.org", "user": "a", "base_path": "/srv/a"}
    configure(module.parents[1], module, "rsync", answers)


def switched_off(module: Path) -> None:
    append(module / "pyproject.toml", '\n[tool.dagster-module-builder.audit.off]\ntests = "for now"\n')


def needing_a_name(module: Path) -> None:
    (module / PACKAGE / "client.py").write_text('import os\n\nNAME = os.environ["SALES_REPORT_DB_NAME"]\n')


#: What a check needs to have something to look at.
PREPARED = {
    "variables-given": needing_a_name,
    "switched-off": switched_off,
    "secrets-ignored": lambda module: subprocess.run(["git", "init", "-q"], cwd=module, check=True),
    "deployments-read": deployed,
    "deployments-env": deployed,
}
#: Where other files show that a check passes and fails: with Dagster, or with a pipeline.
ELSEWHERE = {"pipelines", "loads", "keys-loaded", "io-manager-loaded", "requirements", "tests-pass"}


def test_values_that_an_earlier_version_committed_are_found_and_not_shown(root: Path, module: Path) -> None:
    """FAULTS A1: an example of a deployment that came from ``.env``."""
    deployed(module)
    assert status(root, module, "secrets") == "PASS"
    example = module / "deploy/production/.env.deploy.example"
    append(
        example,
        "# theirs\nSALES_REPORT_URL='https://u:canary@h/'\nSALES_REPORT_MODE='change-me'\nSALES_REPORT_SIZE=20\n",
    )
    line = example.read_text().splitlines().index("SALES_REPORT_URL='https://u:canary@h/'") + 1
    found = [problem for problem in messages(root, module, "secrets").splitlines() if "SALES_REPORT" in problem]
    assert found == [f"deploy/production/.env.deploy.example:{line}: SALES_REPORT_URL has a value"]


WARNINGS = {"hashes", "asset-keys", "schedule-timezones", "compose-lint", "dockerfile-lint", "variables-example",
            "requirements-stated", "template-version", "clashes", "deployments-env", "tests"}  # fmt: skip


@pytest.mark.parametrize("check", BREAKAGES)
def test_a_check_finds_what_it_is_for(root: Path, module: Path, check: str) -> None:
    """FAULTS C9: each check passes one module and finds fault with another."""
    PREPARED.get(check, lambda _: None)(module)
    assert audit(root, module, only=(check,)).results[0].status == ("WARN" if check == "deployments" else "PASS")
    BREAKAGES[check](module)
    assert audit(root, module, only=(check,)).results[0].status == ("WARN" if check in WARNINGS else "FAIL")


def test_every_check_is_shown_to_pass_and_to_fail() -> None:
    assert set(BREAKAGES) | ELSEWHERE == set(CHECKS)


def test_a_check_without_anything_to_look_at_is_skipped_and_does_not_count(root: Path) -> None:
    """FAULTS C9: of a folder with a README alone, only what every module has to have is counted."""
    audited = AuditedModule(write(root / "projects/orders", {"README.md": "# orders\n"}), root)
    lacking = {name for name, one in CHECKS.items() if one.lacks(audited)}
    always = {name: one.lacks for name, one in CHECKS.items() if isinstance(one.lacks, Always)}
    assert lacking | set(always) == set(CHECKS)
    assert all(one.reason for one in always.values())
    found = audit(root, audited.path)
    assert {one.check for one in found.counted} == {name for name in always if CHECKS[name].needs == "nothing"}


STORES = {
    "a library's": (
        "from dagster_duckdb_pandas import DuckDBPandasIOManager\n",
        'DuckDBPandasIOManager(database="x.duckdb")',
        "SKIP",
    ),
    "one for a bucket": (
        "import boto3\nimport dagster as dg\n\n\nclass Mine(dg.ConfigurableIOManager): ...\n", "Mine()", "SKIP"
    ),
    "one for a bucket by its address": (
        "import dagster as dg\n\n\nclass Mine(dg.UPathIOManager): ...\n", 'Mine(base_path="s3://bucket/x")', "SKIP"
    ),
    "one that cannot be seen": (
        "import dagster as dg\n\n\nclass Mine(dg.IOManager): ...\n", "Mine()", "SKIP"
    ),
    "one for files": (
        ("import dagster as dg\n\n\nclass Mine(dg.IOManager):\n    def handle_output(self, context, obj):\n"
        '        open("/var/x", "w").write(obj)\n'),
        "Mine()",
        "FAIL",
    ),
    "Dagster's own with a folder": (
        "import dagster as dg\n", 'dg.FilesystemIOManager(base_dir="/var/outputs")', "FAIL"
    ),
    "Dagster's own in the volume": (
        "import os\n\nimport dagster as dg\n",
        'dg.FilesystemIOManager(base_dir=os.environ["DAGSTER_STORAGE_DIR"])',
        "PASS",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", STORES)
def test_an_io_manager_of_a_database_does_not_store_elsewhere(root: Path, kind: str) -> None:
    """FAULTS C9: only an IO manager that is seen to write files has to write them into the volume."""
    text, built, wanted = STORES[kind]
    text += f"\nRESOURCES = dict(io_manager={built})\ndefs = dg.Definitions(resources={{**RESOURCES}})\n"
    project = write(root / "projects/orders", {"definitions.py": text})
    found = audit(root, project, only=("io-manager", "storage-path", "io-manager-registered"))
    assert {one.check: one.status for one in found.results} == {
        "io-manager": "PASS", "storage-path": wanted, "io-manager-registered": "PASS"
    }  # fmt: skip


def test_a_variable_that_is_set_to_nothing_is_not_set(root: Path, module: Path) -> None:
    """FAULTS C9: neither for the code nor for Compose, and an image's build argument sets nothing."""
    env = module / "workspace/local/.env"
    (module / PACKAGE / "client.py").write_text('import os\n\nURL = os.environ["SALES_REPORT_URL"]\n')
    append(module / "workspace/local/dockerfile.snippet", "\nARG SALES_REPORT_URL=x\n")
    for line, wanted in (("", "not set"), ("SALES_REPORT_URL=''\n", "empty"), ("SALES_REPORT_URL='x'\n", "")):
        before = env.read_text()
        append(env, line)
        assert wanted in messages(root, module, "variables-given")
        assert bool(wanted) == bool(messages(root, module, "variables-given"))
        env.write_text(before)
    env.write_text(re.sub(r"(_DB_NAME)='.*'", r"\1=''", env.read_text()))
    assert "empty" in messages(root, module, "variables-set")


def test_upgrade_is_advised_where_it_takes_something_away(root: Path, module: Path) -> None:
    """FAULTS C9: what a person deleted from a module of the template stays deleted, so `upgrade` is no advice."""
    assert not audit(root, module).helped_by_upgrade
    (module / "workspace/local/dockerfile.snippet").unlink()
    assert not audit(root, module).helped_by_upgrade
    project = write(root / "projects/orders", SCAFFOLD)
    before = audit(root, project)
    advised = {one.check for one in before.results for problem in one.problems if problem.by_upgrade}
    assert {"io-manager", "fragments", "resources-file"} <= advised
    upgrade(root, "orders")
    after = audit(root, project)
    assert not after.helped_by_upgrade
    assert {one.check for one in after.results if one.status == "FAIL"} & advised == set()


def test_checks_of_security_are_switched_off_by_the_workspace_alone(root: Path, module: Path) -> None:
    """FAULTS S10: a module cannot wave itself through, and no check at all is no success."""
    off = "\n".join(f'{name} = "as an example"' for name in CHECKS)
    append(module / "pyproject.toml", f"\n[tool.dagster-module-builder.audit.off]\n{off}\n")
    (module / "workspace/local/.env").chmod(0o644)
    subprocess.run(["git", "init", "-q"], cwd=module, check=True)
    found = audit(root, module)
    assert {one.check for one in found.counted} == {name for name, one in CHECKS.items() if one.security}
    assert {one.check for one in found.results if one.status == "FAIL"} == {"secret-modes", "switched-off"}
    (root / "pyproject.toml").write_text(f"[tool.dagster-module-builder.audit.modules.sales-report.off]\n{off}\n")
    nothing = audit(root, module)
    assert (nothing.overall, nothing.failed, nothing.counted) == ("NOTHING CHECKED", True, [])


def test_a_port_of_another_module_is_a_clash(root: Path, module: Path) -> None:
    other = module.with_name("stock")
    write(
        other, {"workspace/local/.env": (module / "workspace/local/.env").read_text().replace("SALES_REPORT", "STOCK")}
    )
    assert "stock" in messages(root, module, "clashes")


def test_a_docstring_that_names_the_io_manager_is_none(root: Path) -> None:
    project = write(root / "projects/orders", SINGLE_FILE)
    (project / "notes.py").write_text(
        '"""A class IOManager(dg.IOManager) under DAGSTER_STORAGE_DIR would be good."""\n'
    )
    assert status(root, project, "io-manager") == "FAIL"


def test_an_io_manager_below_one_of_its_own_bases_is_one(root: Path) -> None:
    project = write(root / "projects/orders", SINGLE_FILE)
    (project / "b.py").write_text("from a import Base\n\n\nclass Mine(Base): ...\n")
    (project / "a.py").write_text("import dagster as dg\n\n\nclass Base(dg.ConfigurableIOManager): ...\n")
    assert status(root, project, "io-manager") == "PASS"


def test_a_secret_is_named_but_never_shown(root: Path, module: Path) -> None:
    secret = "AKIAIOSFODNN7EXAMPLQ"
    (module / PACKAGE / "client.py").write_text(f'KEY = "{secret}"\n')
    found = result(audit(root, module), "secrets")
    assert f"{PACKAGE}/client.py" in found.problems[0].where
    assert secret not in str(found)


def test_a_baseline_hides_no_secret(root: Path, module: Path) -> None:
    """FAULTS S10: the module's own archive does not decide which of its files are looked at."""
    (module / PACKAGE / "client.py").write_text('KEY = "AKIAIOSFODNN7EXAMPLQ"\n')
    baseline.write(module)
    assert f"{PACKAGE}/client.py" in messages(root, module, "secrets")


@pytest.mark.parametrize(
    "line",
    [
        'PASSWORD = "hunter2hunter2"',
        "if password == 'hunter2hunter2':",
        'URL = "postgresql://app:hunter2hunter2@db/x"',
        'KEY = "-----BEGIN RSA PRIVATE KEY-----"',
        'call(api_key="hunter2hunter2")',
        'TOKEN = "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"',
        "AKIAIOSFODNN7EXAMPLQ",
        "# nothing",
    ],
)
def test_a_secret_is_found_wherever_detect_secrets_finds_it(tmp_path: Path, line: str) -> None:
    """FAULTS F8: files that are passed over quickly hold nothing that its rules match."""
    file = tmp_path / "client.py"
    file.write_text(f'"""A client."""\n\n{line}\n\n# the end')
    with patch.object(secret_scan, "_can_match", lambda *_: True):
        slowly = list(secret_scan.secrets_in([file]))
    assert list(secret_scan.secrets_in([file])) == slowly
    assert bool(slowly) == (line != "# nothing")


def test_a_tracked_file_with_secrets_is_found(root: Path, module: Path) -> None:
    assert status(root, module, "secrets-ignored") == "SKIP"
    subprocess.run(["git", "init", "-q"], cwd=module, check=True)
    examples = dict.fromkeys((".env.example", "deploy/production/.env.deploy.example"), "A=''\n")
    write(module, examples)
    subprocess.run(["git", "add", "-f", *examples], cwd=module, check=True)
    assert status(root, module, "secrets-ignored") == "PASS"  # FAULTS B11: examples are there to be tracked
    subprocess.run(["git", "add", "-f", "workspace/local/.env"], cwd=module, check=True)
    assert status(root, module, "secrets-ignored") == "FAIL"


def test_a_check_is_switched_off_with_a_reason(root: Path, module: Path) -> None:
    off = '\n[tool.dagster-module-builder.audit.off]\ndeployments = "runs on our own machine only"\n'
    append(module / "pyproject.toml", off)
    found = result(audit(root, module), "deployments")
    assert found.status == "SKIP"
    assert found.off == "runs on our own machine only"


def test_a_deployment_that_lags_behind_is_found(root: Path, module: Path) -> None:
    write(module / "deploy/production", {".env.deploy.example": "SALES_REPORT_DB_PORT=''\n", "deployment.yaml": "{}\n"})
    assert "SALES_REPORT_DB_PASSWORD" in messages(root, module, "deployments-env")
    assert status(root, module, "deployments-read") == "FAIL"
    assert status(root, module, "deployments") == "WARN"


@pytest.mark.parametrize("kind", OTHERS)
def test_projects_of_other_tools_are_read(root: Path, kind: str) -> None:
    project = write(root / "projects/orders", OTHERS[kind])
    found = audit(root, project)
    failed = {one.check for one in found.results if one.status == "FAIL"}
    assert result(found, "definitions").status == "PASS"
    assert {"resources-file", "io-manager", "fragments"} <= failed


def test_a_file_with_secrets_that_one_other_class_of_users_can_read_is_found(root: Path, module: Path) -> None:
    env = module / "workspace/local/.env"
    for mode, wanted in ((0o600, "PASS"), (0o400, "PASS"), (0o640, "FAIL"), (0o604, "FAIL")):
        env.chmod(mode)
        assert status(root, module, "secret-modes") == wanted


@pytest.mark.parametrize(
    "name", [".env", "workspace/staging/.env", "workspace/local/.env.kept", "deploy/a/.env.deploy"]
)
def test_every_kind_of_file_with_secrets_has_to_be_private_and_ignored(root: Path, module: Path, name: str) -> None:
    write(module, {name: 'API_KEY="hunter2hunter2"\n'})
    (module / name).chmod(0o644)
    (module / ".gitignore").unlink()
    subprocess.run(["git", "init", "-q"], cwd=module, check=True)
    found = audit(root, module, only=("secrets", "secret-modes", "secrets-ignored"))
    where = {one.check: [problem.where for problem in one.problems] for one in found.results}
    assert name in where["secret-modes"]
    assert name in where["secrets-ignored"]
    assert not where["secrets"]  # it is there to hold them


def test_what_is_no_text_is_large_or_is_a_placeholder_is_no_secret(root: Path, module: Path) -> None:
    line = 'PASSWORD = "hunter2hunter2"\n'
    write(module, {
        "data/a.csv": line, "data/B.PNG": line,
        "large.py": line + "#" * 500_000, "b.py": line.replace("2h", "change-me"),
        "tests/test_b.py": line,
    })  # fmt: skip
    assert status(root, module, "secrets") == "PASS"
    (module / "large.py").write_text((line + "#" * 500_000)[:500_000])
    assert messages(root, module, "secrets").startswith("large.py:1: ")


def test_a_reason_is_a_text_that_says_something(root: Path, module: Path) -> None:
    append(
        module / "pyproject.toml", '\n[tool.dagster-module-builder.audit.off]\ntests = " "\nsyntax = 1\nnone = "x"\n'
    )
    shutil.rmtree(module / "tests")
    found = audit(root, module, only=("switched-off", "tests", "syntax"))
    assert {one.check: one.status for one in found.results} == {
        "switched-off": "FAIL",
        "tests": "WARN",
        "syntax": "PASS",
    }
    assert sorted(one.status for one in result(found, "switched-off").problems) == ["FAIL", "FAIL", "WARN"]


def test_a_workspace_alone_switches_off_with_a_reason(root: Path, module: Path) -> None:
    (root / "pyproject.toml").write_text('[tool.dagster-module-builder.audit.off]\ncompose-lint = ""\n')
    assert "compose-lint is switched off without a reason" in messages(root, module, "switched-off")

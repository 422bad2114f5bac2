"""Each check: what it finds, and what it leaves alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dagster_module_builder.audit.run import audit
from dagster_module_builder.audit.table import TABLE
from tests.audit.conftest import messages, result, status
from tests.audit.projects import OTHERS, SINGLE_FILE, write

PACKAGE = "src/sales_report_dagster"
DOCS = Path(__file__).parents[2] / "docs/audit.md"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_fresh_module_only_lacks_a_deployment(root: Path, module: Path) -> None:
    found = audit(root, module)
    assert {one.check for one in found.results if one.status not in {"PASS", "SKIP"}} == {"deployments"}
    assert found.overall == "GOOD"


def test_every_check_has_its_section_in_the_documentation() -> None:
    headings = set(re.findall(r"^### (\S+)$", DOCS.read_text(), re.MULTILINE))
    assert headings == set(TABLE)


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


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
    "template-version": lambda module: edit(
        module / ".dagster-module.json", '"template_version": "', '"template_version": "0.'
    ),
    "switched-off": lambda module: append(
        module / "pyproject.toml", '\n[tool.dagster-module-builder.audit.off]\ntests = ""\n'
    ),
}  # fmt: skip


WARNINGS = {"asset-keys", "schedule-timezones", "compose-lint", "dockerfile-lint", "variables-example",
            "requirements-stated", "template-version"}  # fmt: skip


@pytest.mark.parametrize("check", BREAKAGES)
def test_a_check_finds_what_it_is_for(root: Path, module: Path, check: str) -> None:
    assert status(root, module, check) == ("WARN" if check == "deployments" else "PASS")
    BREAKAGES[check](module)
    assert status(root, module, check) == ("WARN" if check in WARNINGS else "FAIL")


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


def test_a_tracked_file_with_secrets_is_found(root: Path, module: Path) -> None:
    assert status(root, module, "secrets-ignored") == "PASS"
    subprocess.run(["git", "init", "-q"], cwd=module, check=True)
    assert status(root, module, "secrets-ignored") == "PASS"
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
    assert {"resources-file", "io-manager", "io-manager-registered", "fragments"} <= failed

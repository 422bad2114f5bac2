"""What ``.env.deploy`` says is what the processes on the host see."""

from __future__ import annotations

import json

import pytest
from dotenv import dotenv_values

from dagster_module_builder.errors import BuilderError
from dagster_module_builder.formats import env_value
from tests.deploy.conftest import Site
from tests.engine.test_env_values import WANTED, as_compose_reads


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

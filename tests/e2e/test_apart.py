"""FAULTS A4: what one module knows no other can read, whichever container its code runs in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dagster_module_builder.shared_files.formats import env_file
from tests.e2e.stack import LOCATIONS, Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ATTACKER = Path(__file__).with_name("attacker.py").read_text()
#: Where the container of all code has what is a module's.
PLACES = ("/workspace/projects/{module}", "/tmp/dagster_storage/{location}", "/owner")

#: What every container of the stack may not do without a reason: the reasons are beside it.
NEEDS_CAPABILITIES = {"dagster_code", "dagster_postgres"}


def _secrets(stack: Stack) -> dict[str, str]:
    values = env_file.values((stack.services / ".env").read_bytes())
    return {name: value for name, value in values.items() if "PASSWORD" in name}


def _attack(secrets: Mapping[str, str], *modules: str) -> str:
    places = [place.format(module=each, location=each.replace("-", "_")) for each in modules for place in PLACES]
    digests = sorted(hashlib.sha256(value.encode()).hexdigest() for value in secrets.values())
    set_ = {"SECRETS": digests, "PLACES": sorted(set(places))}
    assignments = "".join(f"{name}: list[str] = {value!r}\n" for name, value in set_.items())
    head, _, rest = ATTACKER.partition("SECRETS: list[str] = []\nPLACES: list[str] = []\n")
    assert rest
    return f"{head}{assignments}{rest}"


def _others(secrets: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return what a module may not know: the one secret that all have is that of Dagster's database."""
    own = {name for name in secrets if name.startswith(prefix) and "ROOT" not in name}
    return {name: value for name, value in secrets.items() if name not in {*own, "DAGSTER_POSTGRES_PASSWORD"}}


def test_a_module_learns_nothing_of_others_in_the_container_of_all_code(stack: Stack) -> None:
    for location in LOCATIONS:
        stack.have_materialized(location)
    secrets = _secrets(stack)
    for location, other in (("weather", "sales-report"), ("sales_report", "weather")):
        unknown = _others(secrets, location.upper())
        got: dict[str, Any] = json.loads(stack.as_module(location, _attack(unknown, other, "shop-stock")))
        # It reaches its own server alone.
        assert got == {
            "secrets": [], "files": [], "writable": [], "sockets": [location], "processes": [], "root": False,
        }, location  # fmt: skip


def test_the_attack_finds_what_is_its_own(stack: Stack) -> None:
    """What the other tests do not find could be found: the same program, looking for what the module has."""
    stack.have_materialized("weather")
    secrets = {name: value for name, value in _secrets(stack).items() if name == "SALES_REPORT_DB_PASSWORD"}
    planted = f"# {secrets['SALES_REPORT_DB_PASSWORD']}\n"
    got = json.loads(stack.as_module("weather", planted + _attack(secrets, "weather")))
    assert len(got["secrets"]) == 1
    assert any(path.endswith("assets.py") for path in got["files"])
    assert "/tmp/dagster_storage/weather/summary.data" in got["files"]


def test_each_module_is_another_user(stack: Stack) -> None:
    users = json.loads(stack.inside("dagster_code", "cat", "/tmp/dagster_storage/.users.json"))
    processes = "import os, pathlib; print(*{each.stat().st_uid for each in pathlib.Path('/proc').glob('[0-9]*')})"
    running = {int(user) for user in stack.inside("dagster_code", "python3", "-c", processes).split()}
    # The third has a separate code server; its number is for those that may read its outputs.
    assert set(users) == {"sales_report", "shop_stock", "weather"}
    assert len(set(users.values())) == len(users)
    assert running == {0, users["sales_report"], users["weather"]}


def test_a_separate_code_server_learns_nothing_of_others(stack: Stack) -> None:
    secrets = _others(_secrets(stack), "SHOP_STOCK")
    got = json.loads(stack.inside("shop_stock_code", "python3", "-c", _attack(secrets, "sales-report", "weather")))
    assert got["secrets"] == []
    assert got["files"] == []
    assert got["writable"] == []
    assert got["root"] is False


@pytest.mark.parametrize("service", ["dagster_webserver", "dagster_daemon"])
def test_the_webserver_and_the_daemon_know_no_module(stack: Stack, service: str) -> None:
    known = stack.inside(service, "sh", "-c", "env; find /workspace -type f")
    secrets = {name: value for name, value in _secrets(stack).items() if name != "DAGSTER_POSTGRES_PASSWORD"}
    assert [name for name, value in secrets.items() if value in known] == []
    assert [line for line in known.splitlines() if line.startswith("/workspace/projects")] == []


def test_containers_have_no_rights_that_they_do_not_need(stack: Stack) -> None:
    for name in ("dagster_code", "dagster_daemon", "dagster_postgres", "dagster_webserver", "shop_stock_code"):
        container = stack.compose("ps", "--quiet", name).strip()
        host = json.loads(stack.engine.docker("inspect", container))[0]["HostConfig"]
        assert host["CapDrop"] == ["ALL"], name
        assert bool(host["CapAdd"]) == (name in NEEDS_CAPABILITIES), name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["ReadonlyRootfs"] or name == "dagster_postgres", name
        assert host["PidsLimit"], name


def test_dagster_is_no_superuser_in_its_database(stack: Stack) -> None:
    ask = 'psql -h 127.0.0.1 -U "$DAGSTER_POSTGRES_USER" -d "$DAGSTER_POSTGRES_DB" -Atc'
    line = f"PGPASSWORD=$DAGSTER_POSTGRES_PASSWORD {ask} 'select rolsuper from pg_roles where rolname = current_user'"
    assert stack.shell("dagster_postgres", line) == "f"

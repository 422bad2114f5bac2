import socket

import dagster as dg
import pandas as pd
import pytest
from sqlalchemy import text

from exchange_rates_dagster.database import PREFIX, Database, DatabaseError

SETTINGS = {"HOST": "127.0.0.1", "PORT": "1", "NAME": "name", "USER": "user", "PASSWORD": "p@ss/word"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"{PREFIX}{name}", value)


def test_the_rows_are_replaced(database: Database):
    database.replace_rows("numbers", pd.DataFrame({"number": [1, 2]}))
    database.replace_rows("numbers", pd.DataFrame({"number": [3]}))

    with database.begin() as connection:
        assert connection.execute(text("SELECT number FROM numbers")).scalars().all() == [3]


def test_a_failure_rolls_back(database: Database):
    database.replace_rows("numbers", pd.DataFrame({"number": [1]}))

    with pytest.raises(RuntimeError), database.begin() as connection:
        connection.execute(text("DELETE FROM numbers"))
        raise RuntimeError
    with database.begin() as connection:
        assert connection.execute(text("SELECT number FROM numbers")).scalars().all() == [1]


@pytest.mark.parametrize("name", ["PORT", "NAME", "USER", "PASSWORD"])
def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.delenv(f"{PREFIX}{name}")

    with pytest.raises(DatabaseError, match=f"{PREFIX}{name} is not set"), Database().begin():
        pass


def times_tried_again() -> int:
    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=2))
    def used(database: Database) -> None:
        with database.begin():
            pass

    result = dg.materialize([used], resources={"database": Database()}, raise_on_error=False)
    assert not result.success
    return sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)


def test_an_unreachable_server_is_retried_and_a_missing_variable_is_not(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv(f"{PREFIX}PORT", str(bound.getsockname()[1]))
        assert times_tried_again() == 2
    monkeypatch.delenv(f"{PREFIX}PASSWORD")
    assert times_tried_again() == 0


def test_a_port_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(f"{PREFIX}PORT", "x")

    with pytest.raises(DatabaseError, match=f"{PREFIX}PORT"), Database().begin():
        pass


def test_an_unreachable_server_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as bound:
        # Bound but not listening: the port stays taken, and connections are refused.
        bound.bind(("127.0.0.1", 0))
        monkeypatch.setenv(f"{PREFIX}PORT", str(bound.getsockname()[1]))
        with pytest.raises(DatabaseError, match=f"{PREFIX}HOST and {PREFIX}PORT") as caught, Database().begin():
            pass

    assert SETTINGS["PASSWORD"] not in str(caught.value)

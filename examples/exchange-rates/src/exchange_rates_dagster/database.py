"""The module's PostgreSQL database.

The variables ``EXCHANGE_RATES_DB_*`` say where it is; ``.env.example`` explains each.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import dagster as dg
import pandas as pd
from sqlalchemy import URL, Connection, Engine, create_engine, delete, inspect, make_url, table
from sqlalchemy.exc import OperationalError

PREFIX = "EXCHANGE_RATES_DB_"
SERVICE = "exchange_rates_db"
CONNECT_TIMEOUT = 10  # seconds


class DatabaseError(dg.Failure):
    """The database cannot be reached; a wrong setting is not retried."""


class Database(dg.ConfigurableResource["Database"]):
    """Connections to the database from a pool; ``url`` overrides the variables."""

    url: str | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end, rolled back when anything fails.

        Raises:
            DatabaseError: A variable is missing, or the server cannot be reached.
        """
        with self._connected() as connection, connection.begin():
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except OperationalError as error:
            raise _explained(error, self._engine.url) from error
        with connection:
            yield connection

    def replace_rows(self, name: str, rows: pd.DataFrame) -> None:
        """Replace all rows of the table ``name`` in one transaction; create the table if it does not exist."""
        with self.begin() as connection:
            if inspect(connection).has_table(name):
                connection.execute(delete(table(name)))
            rows.to_sql(name, connection, if_exists="append", index=False)

    @cached_property
    def _engine(self) -> Engine:
        url = make_url(self.url) if self.url else url_from_environment()
        options = {"connect_timeout": CONNECT_TIMEOUT} if url.host else {}
        return create_engine(url, connect_args=options, pool_pre_ping=True, pool_recycle=1800)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the pool's connections at the end of a run."""
        if "_engine" in self.__dict__:
            self._engine.dispose()


def url_from_environment() -> URL:
    """Return the database's URL from the variables.

    Raises:
        DatabaseError: A variable is missing.
    """
    return URL.create(
        "postgresql+psycopg",
        host=os.environ.get(f"{PREFIX}HOST") or "127.0.0.1",
        port=_port(),
        database=_required("NAME"),
        username=_required("USER"),
        password=_required("PASSWORD"),
    )


def _port() -> int:
    value = _required("PORT")
    if not value.isdecimal():
        raise DatabaseError(f"{PREFIX}PORT is {value!r}; it must be a number.", allow_retries=False)
    return int(value)


def _required(name: str) -> str:
    value = os.environ.get(f"{PREFIX}{name}")
    if not value:
        raise DatabaseError(
            f"{PREFIX}{name} is not set. Add the module to the workspace, which sets it, or set it in the .env of the "
            "folder that Dagster is started in (see .env.example).",
            allow_retries=False,
        )
    return value


def _explained(error: OperationalError, url: URL) -> DatabaseError:
    reason = " ".join(str(error.orig).split())
    if refused := "authentication failed" in reason or "Access denied" in reason:
        cure = f"{PREFIX}PASSWORD is not the password of the server's first start, which its volume keeps"
    else:
        cure = f"start it (docker compose up -d {SERVICE}), and check {PREFIX}HOST and {PREFIX}PORT"
    message = f"Cannot connect to {url.render_as_string(hide_password=True)}: {cure} ({reason})"
    return DatabaseError(message, allow_retries=not refused)

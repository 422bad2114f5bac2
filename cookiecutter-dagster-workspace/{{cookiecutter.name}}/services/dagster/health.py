"""Tell whether a service of the workspace is well: ``python3 health.py webserver|daemon``.

``dagster-daemon liveness-check`` says the same, but imports Dagster for seconds of processor time at every call.
"""

import os
import sys
import time
import urllib.request

#: Seconds without a heartbeat after which the daemon is unwell; it gives one every 30.
LONGEST_SILENCE = 120


def check_webserver() -> None:
    """Fail unless the webserver answers."""
    urllib.request.urlopen("http://127.0.0.1:3000/server_info", timeout=5).close()


def check_daemon() -> None:
    """Fail unless the daemon has written a heartbeat lately."""
    import psycopg2

    connection = psycopg2.connect(
        host="dagster_postgres",
        dbname=os.environ["DAGSTER_POSTGRES_DB"],
        user=os.environ["DAGSTER_POSTGRES_USER"],
        password=os.environ["DAGSTER_POSTGRES_PASSWORD"],
        connect_timeout=5,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM max(timestamp)) FROM daemon_heartbeats")
        (last,) = cursor.fetchone()
    connection.close()
    if last is None or time.time() - float(last) > LONGEST_SILENCE:
        sys.exit("no recent heartbeat")


if __name__ == "__main__":
    {"webserver": check_webserver, "daemon": check_daemon}[sys.argv[1]]()

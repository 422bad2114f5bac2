"""Tell whether a service of the workspace is well: ``python3 health.py webserver|daemon``.

``dagster-daemon liveness-check`` says the same, but imports Dagster for seconds of processor time at every call.
"""

import os
import socket
import sys
import time

#: Seconds without a heartbeat after which the daemon is unwell; it gives one every 30.
LONGEST_SILENCE = 120


def check_webserver() -> None:
    """Fail unless the webserver answers."""
    # An HTTP client would take longer to import than all of this.
    with socket.create_connection(("127.0.0.1", 3000), timeout=5) as wire:
        wire.sendall(b"GET /server_info HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        status = wire.recv(64).split(b" ")[1:2]
    if status != [b"200"]:
        sys.exit(f"answered with {status}")


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

"""Check that a service of the workspace is healthy: ``python3 health.py webserver|daemon``.

``dagster-daemon liveness-check`` does the same, but spends seconds of processor time importing Dagster at every call.
"""

import os
import socket
import sys
import time

#: Seconds without a heartbeat after which the daemon is unhealthy; it writes one every 30 seconds.
LONGEST_SILENCE = 120


def check_webserver() -> None:
    """Fail unless the webserver answers."""
    # Importing an HTTP client would take longer than this whole check.
    with socket.create_connection(("127.0.0.1", 3000), timeout=5) as connection:
        connection.sendall(b"GET /server_info HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        status = connection.recv(64).split(b" ")[1:2]
    if status != [b"200"]:
        sys.exit(f"the webserver answered with status {status}")


def check_daemon() -> None:
    """Fail unless the daemon has written a heartbeat recently."""
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
        sys.exit("the daemon has written no recent heartbeat")


if __name__ == "__main__":
    {"webserver": check_webserver, "daemon": check_daemon}[sys.argv[1]]()

"""What the examples read from and write to: real servers on this machine, and the variables that lead there."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests import needs
from tests.deploy import sshd
from tests.examples.in_step import EXAMPLES
from tests.ports import free_port
from tests.template import environment
from tests.template.database_servers import running
from tests.template.s3_server import s3_server

#: Puts the file of a day into a bucket.
FILL_BUCKET = """
import s3fs
files = s3fs.S3FileSystem()
files.mkdir("sensors")
files.pipe("sensors/gateway/2026-03-02.csv", b"sensor,taken_at,celsius\\nroof,2026-03-02T08:10:00,4.5\\n")
"""


class RatesHandler(BaseHTTPRequestHandler):
    """Answers with the only page of rates."""

    def do_GET(self) -> None:
        """Answer."""
        rates = [{"day": "2026-03-02", "currency": "USD", "rate": 1.08}]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"rates": rates, "next_page": None}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def exchange_rates(_: Path) -> Iterator[dict[str, str]]:
    """Run the API and PostgreSQL, with the module's schema."""
    settings = {"NAME": "exchange_rates", "USER": "exchange_rates_user", "PASSWORD": "p@ss/w:rd %41"}
    port = free_port()
    schema = EXAMPLES / "exchange-rates/workspace/local/schema.sql"
    with ThreadingHTTPServer(("127.0.0.1", 0), RatesHandler) as api, running("postgresql", port, settings, schema):
        threading.Thread(target=partial(api.serve_forever, 0.05), daemon=True).start()
        database = {f"EXCHANGE_RATES_DB_{name}": value for name, value in {**settings, "PORT": str(port)}.items()}
        yield {"EXCHANGE_RATES_API_URL": f"http://127.0.0.1:{api.server_port}", **database}
        api.shutdown()


@contextmanager
def delivery_notes(folder: Path) -> Iterator[dict[str, str]]:
    """Run sshd with one delivery note."""
    needs.programs("sftp", "pdftotext")
    with sshd.hosts(folder) as (host,):
        host.settings["Subsystem"] = "sftp internal-sftp"
        host.restart()
        known_hosts, outgoing = folder / "known_hosts", folder / "outgoing"
        known_hosts.write_text(host.known_hosts_line)
        outgoing.mkdir()
        writer = EXAMPLES / "delivery-notes/tests"
        note = "Delivery note 1001\\nDate 2026-03-02\\nA-100  12  Hinge"
        script = f"from pathlib import Path; from pdf_file import write_pdf; write_pdf(Path('1001.pdf'), '{note}')"
        command = [environment.made().python, "-c", script]
        subprocess.run(command, cwd=outgoing, env={"PYTHONPATH": str(writer)}, check=True)
        settings = {
            "HOST": host.address,
            "PORT": str(host.port),
            "USER": sshd.user(),
            "FOLDER": str(outgoing),
            "KEY_FILE": str(host.client_key),
            "KNOWN_HOSTS": str(known_hosts),
        }
        yield {f"DELIVERY_NOTES_SFTP_{name}": value for name, value in settings.items()}


@contextmanager
def sensor_readings(_: Path) -> Iterator[dict[str, str]]:
    """Run a stand-in for S3, with the file of one day."""
    with s3_server() as variables:
        subprocess.run([environment.made().python, "-c", FILL_BUCKET], env=variables, check=True)
        places = {"SENSOR_READINGS_SOURCE": "s3://sensors/gateway", "DAGSTER_STORAGE_DIR": "s3://sensors/stored"}
        yield {**variables, **places}


SERVERS = {"exchange-rates": exchange_rates, "delivery-notes": delivery_notes, "sensor-readings": sensor_readings}

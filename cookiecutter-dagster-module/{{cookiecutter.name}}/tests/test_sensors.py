import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from {{ cookiecutter.__package }}.notifiers import WEBHOOK_VARIABLE, LogNotifier, notifier
from {{ cookiecutter.__package }}.sensors import run_failed


class Webhook(HTTPServer):
    """Remembers the texts that were posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), WebhookHandler)
        self.texts: list[str] = []


class WebhookHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.texts.append(json.loads(body)["text"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(WEBHOOK_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()
        thread.join()


def failed_run_context(instance: dg.DagsterInstance) -> dg.RunFailureSensorContext:
    @dg.op
    def fails() -> None:
        raise ValueError("the source is away")

    @dg.job
    def failing() -> None:
        fails()

    result = failing.execute_in_process(instance=instance, raise_on_error=False)
    context = dg.build_run_status_sensor_context(
        sensor_name=run_failed.name,
        dagster_instance=instance,
        dagster_run=result.dagster_run,
        dagster_event=result.get_run_failure_event(),
    )
    return context.for_run_failure()


def test_a_failed_run_is_reported(webhook: Webhook):
    with dg.DagsterInstance.ephemeral() as instance:
        run_failed(failed_run_context(instance))

    (text,) = webhook.texts
    assert "failing failed" in text


def test_without_a_webhook_failures_are_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.delenv(WEBHOOK_VARIABLE, raising=False)

    notifier().notify("something failed")

    assert isinstance(notifier(), LogNotifier)
    assert "something failed" in caplog.text

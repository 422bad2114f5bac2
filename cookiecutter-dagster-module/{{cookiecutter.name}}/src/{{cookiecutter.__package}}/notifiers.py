"""Failure notifications. To add a channel, write a class with ``notify`` and return it from ``notifier``."""

import json
import logging
import os
import urllib.request
from dataclasses import dataclass
from typing import Protocol

#: A webhook's URL, a secret. Slack, Mattermost and Teams accept ``{"text": …}``.
WEBHOOK_VARIABLE = "{{ cookiecutter.__env }}_WEBHOOK_URL"
TIMEOUT = 10  # seconds


class Notifier(Protocol):
    """Delivers messages to people."""

    def notify(self, text: str) -> None:
        """Deliver one message."""


class LogNotifier:
    """Writes messages to the daemon's log."""

    def notify(self, text: str) -> None:
        """Log the message as an error."""
        logging.getLogger(__name__).error(text)


@dataclass(frozen=True)
class WebhookNotifier:
    """Posts messages to a webhook."""

    url: str

    def notify(self, text: str) -> None:
        """Post the message as JSON."""
        body = json.dumps({"text": text}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            pass


def notifier() -> Notifier:
    """Return the webhook that the environment sets, else the log."""
    url = os.environ.get(WEBHOOK_VARIABLE)
    return WebhookNotifier(url) if url else LogNotifier()

"""How people hear of a failure: to add a way, write a class with ``notify`` and return it from ``notifier``."""

import json
import logging
import os
import urllib.request
from dataclasses import dataclass
from typing import Protocol

#: The address of a webhook that takes ``{"text": …}``, as Slack, Mattermost and Teams do. It is a secret.
WEBHOOK_VARIABLE = "{{ cookiecutter.__env }}_WEBHOOK_URL"
TIMEOUT = 10  # seconds


class Notifier(Protocol):
    """Tells people something."""

    def notify(self, text: str) -> None:
        """Deliver one message."""


class LogNotifier:
    """Writes to the log of the daemon, where there is no better way."""

    def notify(self, text: str) -> None:
        """Log the message as an error."""
        logging.getLogger(__name__).error(text)


@dataclass(frozen=True)
class WebhookNotifier:
    """Posts to a webhook."""

    url: str

    def notify(self, text: str) -> None:
        """Post the message as JSON."""
        body = json.dumps({"text": text}).encode()
        request = urllib.request.Request(self.url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            pass


def notifier() -> Notifier:
    """Return the way that the environment names, else the log."""
    url = os.environ.get(WEBHOOK_VARIABLE)
    return WebhookNotifier(url) if url else LogNotifier()

"""``notifications:`` of ``deployment.yaml``: who is told that a change begins, and how it ended.

A receiver never fails a change nor holds it up: all of them are told at once, within a time limit, and what went wrong
is a warning.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dagster_module_builder.base.errors import BuilderError
from dagster_module_builder.deploy.change_summary import first_lines
from dagster_module_builder.deploy.hosts.holder import holder
from dagster_module_builder.deploy.model.deployment import Deployment
from dagster_module_builder.deploy.rollout import HostOutcome
from dagster_module_builder.disclosure.messages import harmless_text, remember_texts
from dagster_module_builder.programs import own_group
from dagster_module_builder.programs.outside_programs import ended, without_active_environment
from dagster_module_builder.shared_files.formats import env_file

#: Seconds that telling all receivers may take.
LIMIT = 10.0
#: Seconds that one receiver has of them.
_SENDING = 8.0
#: The most commits and definitions that a text names, and characters of a reason.
_COMMITS, _DEFINITIONS, _REASON = 10, 20, 1500
_PORTS = {"starttls": 587, "tls": 465, "none": 25}
#: The event of a change that is complete, by its action.
_ENDS = {"deploy": "success", "rollback": "rollback"}
_WORDS = {
    "begin": "{action} begins", "success": "deployed", "rollback": "rolled back", "failure": "{action} FAILED"
}  # fmt: skip


@dataclass(frozen=True)
class Receiver:
    """One receiver of a deployment's notifications.

    Attributes:
        deployment: The deployment.
        entry: What ``deployment.yaml`` says of it.
    """

    deployment: Deployment
    entry: Mapping[str, Any]

    def wants(self, event: str) -> bool:
        """Tell whether it is told of an event."""
        return event in (self.entry.get("events") or [event])

    @property
    def hears_of_changes(self) -> bool:
        """Whether it is told what a change that is complete has changed."""
        return any(map(self.wants, _ENDS.values()))

    def __str__(self) -> str:
        if "email" in self.entry:
            return f"mail to {', '.join(self.entry['email'])}"
        return f"webhook {self.entry['webhook']}" if "webhook" in self.entry else f"command {self.entry['command']}"


def receivers_of(deployment: Deployment) -> list[Receiver]:
    """Return the receivers of a deployment's notifications."""
    return [Receiver(deployment, entry) for entry in deployment.data.get("notifications") or ()]


@dataclass
class Notifications:
    """The notifications of one change.

    Attributes:
        deployments: The deployments that are changed.
        action: ``deploy`` or ``rollback``.
        hosts: The hosts, as people know them.
        warn: Told what went wrong with a receiver.
    """

    deployments: Sequence[Deployment]
    action: str
    hosts: Sequence[str]
    warn: Callable[[str], object]
    started: float = field(default_factory=time.monotonic)
    _threads: list[tuple[Receiver, threading.Thread]] = field(default_factory=list)

    def begin(self) -> None:
        """Tell that the change begins; nothing waits for it."""
        self._tell("begin", "")

    def end(self, outcomes: Sequence[HostOutcome]) -> None:
        """Tell that the change is complete, and wait until that is told, at most ``LIMIT`` seconds."""
        self._tell(_ENDS[self.action], "\n".join(_changes(outcomes)))
        self.wait()

    def fail(self, reason: str) -> None:
        """Tell that the change failed, and wait as ``end`` does."""
        self._tell("failure", harmless_text(reason)[:_REASON])
        self.wait()

    def wait(self) -> None:
        """Wait until everything is told, or the time is up."""
        until = time.monotonic() + LIMIT
        for receiver, thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self.warn(f"The {receiver} did not answer within {LIMIT:g} seconds.")
        self._threads.clear()

    def _tell(self, event: str, more: str) -> None:
        for deployment in self.deployments:
            text = self._text(deployment, event, more)
            for receiver in receivers_of(deployment):
                if receiver.wants(event):
                    thread = threading.Thread(target=self._send, args=(receiver, event, text), daemon=True)
                    self._threads.append((receiver, thread))
                    thread.start()

    def _text(self, deployment: Deployment, event: str, more: str) -> str:
        """Return what is told: what happened, where, by whom, how long it took, and what changed."""
        what = _WORDS[event].format(action=self.action)
        took = "" if event == "begin" else f" after {time.monotonic() - self.started:.0f} s"
        name = f"{deployment.names.name} for {deployment.data['client']} ({deployment.name})"
        first = f"{name}: {what}{took}, on {', '.join(self.hosts)}, by {holder()['who']}."
        return harmless_text(f"{first}\n{more}".strip())

    def _send(self, receiver: Receiver, event: str, text: str) -> None:
        try:
            _SENDERS[next(kind for kind in _SENDERS if kind in receiver.entry)](receiver, event, text)
        # A receiver's answer may break any rule; none of that may reach the change.
        except Exception as error:  # noqa: BLE001
            self.warn(harmless_text(f"The {receiver} was not told: {error or type(error).__name__}"))


def _changes(outcomes: Sequence[HostOutcome]) -> list[str]:
    """Return what changed, once for all hosts on which it is the same."""
    lines: list[str] = []
    for outcome in outcomes:
        if not outcome.stands:
            lines.append(f"{outcome.host}: NOT changed")
        for module, release in outcome.releases.items():
            lines.append(f"{module} {outcome.before.get(module) or '(none)'} -> {release}")
        for commits in outcome.commits.values():
            lines += [f"  {line}" for line in commits[:_COMMITS]]
            lines += [f"  and {len(commits) - _COMMITS} more commits"] if len(commits) > _COMMITS else []
        for changed in outcome.definitions.values():
            lines += [f"  {line}" for line in first_lines(changed, _DEFINITIONS)]
        lines += [f"{outcome.host}: {problem}"[:_REASON] for problem in outcome.problems]
    return list(dict.fromkeys(lines))


def _value(deployment: Deployment, name: str) -> str:
    """Return a variable of ``.env.deploy`` that is for receivers alone.

    Raises:
        BuilderError: It has no value.
    """
    value = env_file.values(deployment.settings_text()).get(name)
    if not value:
        raise BuilderError(f"{name} has no value in .env.deploy")
    remember_texts([value])
    return value


def _post(receiver: Receiver, _event: str, text: str) -> None:
    import urllib.request  # slow to load, as what sends mails, and most deployments tell none

    address = _value(receiver.deployment, receiver.entry["webhook"])
    if not address.startswith(("https://", "http://")):
        raise BuilderError(f"the address in {receiver.entry['webhook']} does not begin with https://")
    body = json.dumps({"text": text}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    with urllib.request.urlopen(request, timeout=_SENDING) as answer:  # noqa: S310 - the same
        answer.read(1 << 16)


def _mail(receiver: Receiver, event: str, text: str) -> None:
    import smtplib
    import ssl
    from email.message import EmailMessage

    entry = receiver.entry
    message = EmailMessage()
    message["From"], message["To"] = entry["from"], ", ".join(entry["email"])
    message["Subject"] = f"{receiver.deployment.names.name} ({receiver.deployment.name}): {event}"
    message.set_content(text)
    security = entry.get("security", "starttls")
    host, _, port = entry["server"].partition(":")
    context = ssl.create_default_context()
    if security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, int(port or _PORTS[security]), timeout=_SENDING, context=context)
    else:
        server = smtplib.SMTP(host, int(port or _PORTS[security]), timeout=_SENDING)
    with server:
        if security == "starttls":
            server.starttls(context=context)
        if entry.get("user"):
            server.login(entry["user"], _value(receiver.deployment, entry["password"]))
        server.send_message(message)


def _run(receiver: Receiver, event: str, text: str) -> None:
    facts = {
        "DEPLOY_EVENT": event, "DEPLOY_DEPLOYMENT": receiver.deployment.name,
        "DEPLOY_MODULE": receiver.deployment.names.name,
    }  # fmt: skip
    environ = {**without_active_environment(), **facts}
    command = ["/bin/sh", "-c", receiver.entry["command"]]
    try:
        answer = own_group.run(command, receiver.deployment.folder, environ, _SENDING, stdin=text.encode())
    except own_group.LateError:
        raise BuilderError(f"it did not end within {_SENDING:g} seconds") from None
    if answer.status:
        raise BuilderError(f"{ended(answer.status)}: {answer.words[-_REASON:]}")


_SENDERS: Mapping[str, Callable[[Receiver, str, str], None]] = {"webhook": _post, "email": _mail, "command": _run}

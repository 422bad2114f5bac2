"""The host's side of a deployment: one conversation over stdin and stdout, for as long as the client lives.

Sent over the channel and run by the host's own Python (3.8 or newer, standard library only); no file of it stays there.
Each line is a JSON request, or empty as a sign of life; each answer is a line too. Whatever is half done when the
client falls silent, or is killed, is undone, and the lock goes with the process.

Nothing here imports ``typing`` or ``pathlib`` at run time: every conversation would wait for them.
"""

from __future__ import annotations

PROTOCOL = 1

#: What is sent, in the order in which the modules need each other. The last one's ``main`` is the conversation.
MODULES = (
    "errors",
    "files",
    "outside",
    "processes",
    "manifest",
    "client",
    "dagster",
    "host",
    "needed",
    "compose",
    "images",
    "servers",
    "server_end",
    "server_start",
    "logbook",
    "journal",
    "lock",
    "remains",
    "interpreters",
    "storage",
    "service",
    "systemd",
    "running",
    "inspection",
    "programs",
    "dumps",
    "deletion",
    "environments",
    "releases",
    "switching",
    "keep_or_undo",
    "conversation",
)

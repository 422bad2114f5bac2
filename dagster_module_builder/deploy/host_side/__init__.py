"""The host's side of a deployment: one conversation over stdin and stdout, for as long as the client lives.

Sent over the channel and run by the host's own Python (3.8 or newer, standard library only); no file of it stays there.
Each line is a JSON request, or empty as a sign of life; each answer is a line too. When the client falls silent or is
killed, unfinished work is undone and the lock is released with the process.

Nothing here imports ``typing`` or ``pathlib`` at run time: both would delay every conversation.
"""

from __future__ import annotations

PROTOCOL = 1

#: The modules to send, by what they are about. ``main`` of the last one is the conversation.
MODULES = (
    "errors",
    "files",
    "outside",
    "processes",
    "manifest",
    "client",
    "dagster",
    "host",
    "automation",
    "needed",
    "compose",
    "images",
    "programs",
    "definitions",
    "servers",
    "server_end",
    "server_start",
    "logbook",
    "hooks",
    "journal",
    "lock",
    "remains",
    "interpreters",
    "storage",
    "service",
    "systemd",
    "running",
    "session_programs",
    "sessions",
    "contents",
    "taking",
    "log_lines",
    "server_logs",
    "run_history",
    "inspection",
    "dumps",
    "deletion",
    "hashes",
    "environments",
    "releases",
    "switching",
    "keep_or_undo",
    "previews",
    "conversation",
)

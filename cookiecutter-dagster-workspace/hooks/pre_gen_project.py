"""Refuse answers that would give a broken workspace; Cookiecutter then removes the folder."""

import json
import re
import sys

# tojson escapes single quotes, and a raw literal keeps backslashes.
ANSWERS: dict[str, str] = json.loads(r'{{ cookiecutter | tojson }}')  # fmt: skip  # noqa: Q000

FOLDER = r"(?!\.{1,2}$)[^/\\]+"
# Sources: the Compose specification for project names, Docker for networks, the grammar of image references.
PROJECT = r"[a-z0-9][a-z0-9_-]{0,62}"
NETWORK = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
PORT = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
IMAGE = r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}"

RULES = {
    "name": (FOLDER, "a folder name"),
    "project": (PROJECT, "lower-case letters, digits, '-' and '_', starting with a letter or digit"),
    "network": (NETWORK, "letters, digits, '-', '_' and '.', starting with a letter or digit"),
    "port": (PORT, "a number from 1 to 65535"),
    "python_image": (IMAGE, "an image name"),
    "postgres_image": (IMAGE, "an image name"),
}


def problems(answers: dict[str, str]) -> list[str]:
    """Return one message for each invalid answer."""
    return [
        f"{question}: {answers[question]!r} is invalid. Use {allowed}."
        for question, (pattern, allowed) in RULES.items()
        if not (re.fullmatch(pattern, str(answers[question])) and str(answers[question]).isprintable())
    ]


if __name__ == "__main__" and (messages := problems(ANSWERS)):
    sys.exit("\n".join(messages))

"""Refuse answers that would not make a working workspace; Cookiecutter then removes what it made."""

import json
import re
import sys

# The filter leaves no single quote in the text, and a raw literal keeps its backslashes.
ANSWERS: dict[str, str] = json.loads(r'{{ cookiecutter | tojson }}')  # fmt: skip  # noqa: Q000

FOLDER = r"(?!\.{1,2}$)[^/\\]+"
# The rules: the Compose specification's for project names, Docker's for networks, the grammar of image references.
PROJECT = r"[a-z0-9][a-z0-9_-]{0,62}"
NETWORK = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
PORT = r"(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
IMAGE = r"[a-z0-9][A-Za-z0-9._/:@-]{0,254}"

RULES = {
    "name": (FOLDER, "the name of a folder"),
    "project": (PROJECT, "lower-case letters, digits, '-' and '_', beginning with a letter or digit"),
    "network": (NETWORK, "letters, digits, '-', '_' and '.', beginning with a letter or digit"),
    "port": (PORT, "a number from 1 to 65535"),
    "python_image": (IMAGE, "the name of an image"),
    "postgres_image": (IMAGE, "the name of an image"),
}


def problems(answers: dict[str, str]) -> list[str]:
    """Return what is wrong with the answers, one sentence each."""
    return [
        f"{question}: {answers[question]!r} is not {wanted}"
        for question, (shape, wanted) in RULES.items()
        if not (re.fullmatch(shape, str(answers[question])) and str(answers[question]).isprintable())
    ]


if __name__ == "__main__" and (found := problems(ANSWERS)):
    sys.exit("\n".join(found))

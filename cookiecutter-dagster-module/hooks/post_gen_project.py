"""Finish the module after its files are written."""

from __future__ import annotations

import json
import sys

REPOSITORY = "{{ cookiecutter._repo_dir | in_quotes }}"
ANSWERS = json.loads("{{ cookiecutter | visible | in_quotes }}")

sys.path.insert(0, f"{REPOSITORY}/hooks")

import after_generation  # noqa: E402

if __name__ == "__main__":
    after_generation.main(ANSWERS)

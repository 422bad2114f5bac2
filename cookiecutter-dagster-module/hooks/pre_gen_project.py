"""Check all answers before any file is written."""

from __future__ import annotations

import json
import sys

REPOSITORY = "{{ cookiecutter._repo_dir | in_quotes }}"
ANSWERS = json.loads("{{ cookiecutter | visible | in_quotes }}")
RAW_ANSWERS = json.loads("{{ _cookiecutter | visible | in_quotes }}")

sys.path.insert(0, f"{REPOSITORY}/hooks")

import before_generation  # noqa: E402

if __name__ == "__main__":
    before_generation.main(REPOSITORY, ANSWERS, RAW_ANSWERS)

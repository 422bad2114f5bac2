"""Commands put together at random, in every form of YAML: Compose reads what was meant, and every byte comes back."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_module_builder.workspaces.adopt import adopt, look_through
from dagster_module_builder.workspaces.release import release
from tests.adoption.adopted import bytes_of, resolved

PROGRAMS = ("dagster dev", "dagster-webserver", "/opt/venv/bin/dagster-webserver", "python -m dagster dev", "dagit")
OTHERS = ("-h 0.0.0.0", "-p ${PORT:-3000}", "--log-level debug", "--path-prefix=/x")
CODE = (("-m", "shop", "cars.defs"), ("--module-name", "shop", "cars"), ("-f", "repo.py", "flows/a.py"),
        ("--python-file", "repo.py", "/app/b.py"), ("--package-name", "shop", "cars"))  # fmt: skip
MORE = (("-a", "defs"), ("--attribute", "defs"), ("-d", "/app"), ("--working-directory", "/app"))
INDENT = "      "


def options(chance: random.Random) -> list[str]:
    """Return what names code: one thing with its object and folder, or several."""
    name, *values = chance.choice(CODE)
    chosen = [(name, value) for value in chance.sample(values, chance.choice([1, 1, 2]))]
    chosen += chance.sample(MORE, chance.randint(0, 1)) if len(chosen) == 1 else []
    return [f"{key}{chance.choice(' =') if key.startswith('--') else ' '}{value}" for key, value in chosen]


def words_of(text: str, shell: str) -> list[str]:
    return ["bash", "-c", shell.format(text)] if shell else text.split(" ")


def written(chance: random.Random, words: list[str]) -> str:
    """Return a command in one of YAML's forms."""
    text = f'{words[0]} {words[1]} "{words[2]}"' if words[0] == "bash" else " ".join(words)
    broken = text if words[0] == "bash" else text.replace(" ", f"\n{INDENT}", 2)
    forms: list[Callable[[], str]] = [
        lambda: f" {text}",
        lambda: f" {json.dumps(text)}",
        lambda: f" '{text}'",
        lambda: f" {chance.choice(['>', '>-', '|', '|-'])}\n{INDENT}{broken}",
        lambda: f" {json.dumps(words)}",
        lambda: " [" + ",".join(f"\n{INDENT}{json.dumps(word)}" for word in words) + "\n    ]",
        lambda: "".join(f"\n{chance.choice(['    ', INDENT])[:4]}- {json.dumps(word)}" for word in words),
        lambda: "".join(f"\n{INDENT}- '{word}'" for word in words),
    ]
    return chance.choice(forms)()


def meant(words: list[str], shell: str) -> list[str]:
    """Return the words of a command without what says which code is loaded, as Compose reads them."""
    every = words[2].replace(";", " ;").split() if shell else words
    names = {*(name for name, *_ in CODE), *(name for name, _ in MORE), "-w", "--workspace"}
    kept: list[str] = []
    skips = False
    for word in every:
        if skips:
            skips = False
        elif word.partition("=")[0] in names and kept[-1:] != ["python"]:
            skips = "=" not in word
        else:
            kept.append(word.replace("${PORT:-3000}", "3000"))
    return kept


@pytest.mark.parametrize("seed", range(40))
def test_compose_reads_the_command_that_was_meant(seed: int, tmp_path: Path, compose: Path) -> None:
    chance = random.Random(seed)
    parts = [*options(chance), *chance.sample(OTHERS, chance.randint(0, 3))]
    chance.shuffle(parts)
    shell = chance.choice(["", "", "cd /app && {}", "exec {}; echo done"])
    words = words_of(" ".join([chance.choice(PROGRAMS), *parts]), shell)
    root = tmp_path / "repository"
    root.mkdir()
    text = f"services:\n  page:\n    build: .\n    command:{written(chance, words)}\n    ports: ['1:1']\n"
    (root / "compose.yaml").write_bytes(text.replace("\n", chance.choice(["\n", "\n", "\r\n"])).encode())
    (root / "Dockerfile").write_text("FROM python:3.12\nWORKDIR /app\nCOPY . .\n")
    before = bytes_of(root)
    adoption = look_through(root, write_workspace_file=True)
    adopt(adoption)
    now = resolved(compose, adoption, root)["services"]["page"]["command"]
    assert meant(now, shell) == meant(words, shell)
    assert " ".join(now).count("/app/workspace.yaml") == 1
    release(root)
    assert bytes_of(root) == before

"""Mutation testing: changes one thing in the code at a time, and sees whether the tests notice.

``nox -s mutation`` tries all targets of ``targets.toml``, ``nox -s mutation -- merge`` one. A mutant that no test
notices has to stand in ``survivors.toml`` with the reason why it does no harm, else the session fails.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from tests.mutation.operators import operators

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
#: How much longer than without a mutation the tests may take, in seconds and as a factor, until they count as failed.
GRACE_S, GRACE = 20.0, 4.0


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: The file's path in the repository.
        operator: What kind of change.
        text: The whole file as it is changed.
        before: The lines that it takes away, without indentation.
        after: The lines that it brings.
    """

    file: str
    operator: str
    text: str
    before: str
    after: str

    def __str__(self) -> str:
        taken, brought = (text.splitlines() or [""] for text in (self.before, self.after))
        return "\n".join([f"{self.file} ({self.operator})", *(f"  - {line}" for line in taken),
                          *(f"  + {line}" for line in brought)])  # fmt: skip


class _Positions(Visitor):
    """Counts in how many places an operator can change a file."""

    def __init__(self, operator: Operator) -> None:
        self.operator, self.count = operator, 0

    def visit(self, node: Any) -> Any:
        self.count += sum(1 for _ in self.operator.mutation_positions(node))
        return node


def mutants(file: str) -> Iterator[Mutant]:
    """Yield all changes to a file that leave it loadable, each once."""
    source, seen = (ROOT / file).read_text(), set()
    for name, operator in operators().items():
        positions = _Positions(operator)
        positions.walk(get_ast(source))
        for occurrence in range(positions.count):
            text = mutate_code(source, operator, occurrence)
            if text is None or text in seen or not _loads(text):
                continue
            seen.add(text)
            mutant = Mutant(file, name, text, *_difference(source, text))
            if not mutant.before.startswith("@dataclass"):  # values that could be changed, which no one does
                yield mutant


def _loads(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _difference(source: str, text: str) -> tuple[str, str]:
    lines = list(difflib.ndiff(source.splitlines(), text.splitlines()))
    taken, brought = ([line[2:].strip() for line in lines if line.startswith(sign)] for sign in ("- ", "+ "))
    return "\n".join(taken), "\n".join(brought)


def sample(all_of_them: Sequence[Mutant], limit: int | None) -> list[Mutant]:
    """Return at most ``limit`` of them, evenly spread."""
    if limit is None or len(all_of_them) <= limit:
        return list(all_of_them)
    return [all_of_them[place * len(all_of_them) // limit] for place in range(limit)]


class Copies:
    """Copies of the repository, in each of which one mutant at a time is tried."""

    def __init__(self, count: int, tests: Sequence[str]) -> None:
        self.tests = tests
        self.free: SimpleQueue[Path] = SimpleQueue()
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(count):
            copy = Path(tempfile.mkdtemp(prefix="mutation-"))
            for name in filter(None, listed.stdout.split("\0")):
                if (ROOT / name).exists():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
            self.free.put(copy)

    def passes(self, limit_s: float | None) -> bool:
        """Tell whether the tests pass as the code is."""
        copy = self.free.get()
        try:
            return self._passes(copy, limit_s)
        finally:
            self.free.put(copy)

    def survives(self, mutant: Mutant, limit_s: float) -> bool:
        """Tell whether the tests pass with a mutant."""
        copy = self.free.get()
        path, original = copy / mutant.file, (copy / mutant.file).read_text()
        try:
            path.write_text(mutant.text)
            return self._passes(copy, limit_s)
        finally:
            path.write_text(original)
            self.free.put(copy)

    def _passes(self, copy: Path, limit_s: float | None) -> bool:
        # The copy comes before the installed package, in the tests' subprocesses too.
        environ = {**os.environ, "PYTHONPATH": os.fspath(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *self.tests]
        with subprocess.Popen(
            command, cwd=copy, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                return process.wait(limit_s) == 0
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return False

    def remove(self) -> None:
        """Delete the copies."""
        while not self.free.empty():
            shutil.rmtree(self.free.get(), ignore_errors=True)


def known_survivors() -> set[tuple[str, str, str]]:
    """Return the mutants that are known to do no harm."""
    entries = tomllib.loads((HERE / "survivors.toml").read_text()).get("survivor", [])
    return {(entry["file"], entry["before"].strip(), entry["after"].strip()) for entry in entries if entry["why"]}


def test_target(name: str, target: dict[str, Any], jobs: int) -> list[Mutant]:
    """Try a target's mutants and print how many there were; return those that survive without a reason."""
    chosen = sample([mutant for file in target["files"] for mutant in mutants(file)], target.get("limit"))
    copies = Copies(jobs, target["tests"])
    try:
        begun = time.monotonic()
        if not copies.passes(None):
            sys.exit(f"{name}: the tests fail without any mutation.")
        limit_s = GRACE_S + GRACE * (time.monotonic() - begun)
        with ThreadPoolExecutor(jobs) as pool:
            alive = []
            for lives in pool.map(lambda mutant: copies.survives(mutant, limit_s), chosen):
                alive.append(lives)
                sys.stderr.write(f"\r{name}: {len(alive)} of {len(chosen)}, {sum(alive)} survive ")
                sys.stderr.flush()
    finally:
        copies.remove()
    survivors = [mutant for mutant, lives in zip(chosen, alive, strict=True) if lives]
    known = known_survivors()
    unknown = [mutant for mutant in survivors if (mutant.file, mutant.before, mutant.after) not in known]
    print(f"{name}: {len(chosen)} mutants, {len(chosen) - len(survivors)} killed, "
          f"{len(survivors) - len(unknown)} known to do no harm, {len(unknown)} survive")  # fmt: skip
    for mutant in unknown:
        print(mutant, flush=True)
    return unknown


def main() -> int:
    """Try the targets named on the command line, or all of them."""
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", choices=[*targets, []], default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    survivors = [test_target(name, targets[name], options.jobs) for name in options.target or targets]
    return 1 if any(survivors) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Mutation testing: changes one thing in the code at a time, and sees whether the tests notice.

``nox -s mutation`` tries all targets of ``targets.toml``, ``nox -s mutation -- merge`` one. A mutant that no test
notices has to stand in ``survivors.toml`` with the reason why it does no harm, and nothing else may stand there; else
the session fails.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator

from tests.mutation.operators import operators
from tests.mutation.survivors import Change, stale
from tests.mutation.survivors import known as survivors_listed
from tests.mutation.warm import Work

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
#: How long the tests may take with a mutant that is carried out at import, in seconds, until they count as failed.
LONGEST_S = 300.0
#: Values that could be changed, which no one does; imports for type checkers.
NOT_TRIED = ("@dataclass", "TYPE_CHECKING = ", "if TYPE_CHECKING:")


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: The file's path in the repository.
        operator: What kind of change.
        text: The whole file as it is changed.
        line: The first line that it changes, from 1.
        before: The lines that it takes away, without indentation.
        after: The lines that it brings.
    """

    file: str
    operator: str
    text: str
    line: int
    before: str
    after: str

    @property
    def change(self) -> Change:
        """What it is listed by, where it does no harm."""
        return self.file, self.before, self.after

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
            if not mutant.before.startswith(NOT_TRIED):
                yield mutant


def _loads(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _difference(source: str, text: str) -> tuple[int, str, str]:
    old, new = source.splitlines(), text.splitlines()
    operations = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    changes = [operation for operation in operations if operation[0] != "equal"]
    taken = [line.strip() for _, start, end, _, _ in changes for line in old[start:end]]
    brought = [line.strip() for *_, start, end in changes for line in new[start:end]]
    return changes[0][1] + 1, "\n".join(taken), "\n".join(brought)


def sample(all_of_them: Sequence[Mutant], limit: int | None) -> list[Mutant]:
    """Return at most ``limit`` of them, evenly spread."""
    if limit is None or len(all_of_them) <= limit:
        return list(all_of_them)
    return [all_of_them[place * len(all_of_them) // limit] for place in range(limit)]


class Copy:
    """A copy of the repository, in which one mutant at a time is tried."""

    def __init__(self, target: dict[str, Any]) -> None:
        self.tests, self.target = target["tests"], target
        self.root = Path(tempfile.mkdtemp(prefix="mutation-")).resolve()
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).exists():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.root / name, follow_symlinks=False)
        # The copy comes before the installed package, in the tests' subprocesses too.
        self.environ = {**os.environ, "PYTHONPATH": os.fspath(self.root)}

    def alive(self, chosen: Sequence[Mutant]) -> Iterator[bool]:
        """Try mutants, one after the other, and tell of each whether the tests pass with it."""
        end, report = os.pipe()
        command = [sys.executable, "-m", "tests.mutation.warm", self._work(chosen), str(report), *self.tests]
        quiet = subprocess.DEVNULL
        with (
            subprocess.Popen(command, cwd=self.root, env=self.environ, pass_fds=[report], stdout=quiet),
            os.fdopen(end) as said,
        ):
            os.close(report)
            outcomes = map(json.loads, said)
            for mutant in chosen:
                outcome = next(outcomes, {"failure": "the start"})
                if "failure" in outcome:
                    sys.exit(f"Without any mutation, this fails: {outcome['failure']}")
                result = outcome["result"]
                yield self._survives(mutant) if result == "fresh" else result == "survives"

    def _work(self, chosen: Sequence[Mutant]) -> str:
        tried = [(mutant.file, mutant.text, mutant.line) for mutant in chosen]
        always, prepared = self.target.get("always", []), self.target.get("prepared", [])
        work = Work(self.root, self.target["files"], tried, always, prepared)
        path = self.root / "work.pickle"
        path.write_bytes(pickle.dumps(work))
        return str(path)

    def _survives(self, mutant: Mutant) -> bool:
        """Tell whether the tests pass in a new process: what is changed is carried out at import."""
        other = Path(tempfile.mkdtemp(prefix="mutation-"))
        try:
            compiled = shutil.ignore_patterns("__pycache__")
            root = shutil.copytree(self.root, other / "copy", symlinks=True, ignore=compiled)
            (root / mutant.file).write_text(mutant.text)
            command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *self.tests]
            environ = {**self.environ, "PYTHONPATH": os.fspath(root)}
            quiet = subprocess.DEVNULL
            with subprocess.Popen(
                command, cwd=root, env=environ, start_new_session=True, stdout=quiet, stderr=quiet
            ) as process:
                try:
                    return process.wait(LONGEST_S) == 0
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    return False
        finally:
            shutil.rmtree(other, ignore_errors=True)

    def remove(self) -> None:
        """Delete the copy."""
        shutil.rmtree(self.root, ignore_errors=True)


def _tried(name: str, target: dict[str, Any], chosen: Sequence[Mutant]) -> list[Mutant]:
    """Try mutants in a separate copy; return those that live."""
    copy, alive = Copy(target), []
    try:
        for number, (mutant, lives) in enumerate(zip(chosen, copy.alive(chosen), strict=True), 1):
            if lives:
                alive.append(mutant)
                sys.stderr.write(f"\r{mutant}\n")
            sys.stderr.write(f"\r{name}: {number} of {len(chosen)}, {len(alive)} survive ")
            sys.stderr.flush()
    finally:
        copy.remove()
    return alive


def is_fine(name: str, target: dict[str, Any], jobs: int) -> bool:
    """Try a target's mutants and print what came out; tell whether all that survive, and no others, are listed."""
    made = [mutant for file in target["files"] for mutant in mutants(file)]
    chosen = sample(made, target.get("limit"))
    with ThreadPoolExecutor(jobs) as pool:
        shares = list(pool.map(lambda share: _tried(name, target, share), [chosen[at::jobs] for at in range(jobs)]))
    survivors = [mutant for share in shares for mutant in share]
    known = survivors_listed()
    unknown = [mutant for mutant in survivors if mutant.change not in known]
    old = stale(known, target["files"], {mutant.change for mutant in made})
    print(f"{name}: {len(chosen)} mutants, {len(chosen) - len(survivors)} killed, "
          f"{len(survivors) - len(unknown)} known to do no harm, {len(unknown)} survive")  # fmt: skip
    for mutant in unknown:
        print(mutant, flush=True)
    for file, before, after in old:
        print(f"Take this out of survivors.toml, it is no mutant: {file}\n  - {before}\n  + {after}", flush=True)
    return not unknown and not old


def main() -> int:
    """Try the targets named on the command line, or all of them."""
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", choices=[*targets, []], default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    fine = [is_fine(name, targets[name], options.jobs) for name in options.target or targets]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())

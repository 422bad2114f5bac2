"""Tries mutants in children of one pytest that has imported and collected everything: none pays for a start.

In the child, the mutated function gets its new code, wherever it was imported to; other programs that a test starts,
and modules that are imported late, read the mutated file. Only tests that call the function are run, and those that
killed a mutant of it before come first.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import json
import os
import pickle
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType, FunctionType

import pytest

#: How much longer than without a mutation a test may take, in seconds and as a factor, until it counts as failed.
GRACE_S, GRACE = 10.0, 4.0
#: What a child that could not put the mutant's code in place ends with.
PASSED, FAILED, NOT_IN_PLACE = 0, 1, 2
FunctionsCalled = dict[str, set[tuple[str, int]]]


@dataclass(frozen=True)
class Work:
    """What one process tries.

    Attributes:
        root: The copy of the repository.
        files: The files that are mutated, in any of the mutants.
        mutants: A file, its text and the line (from 1) of the change, for each.
        always: What the ids of tests begin with that run the code in other programs.
        prepared: Fixtures of the session that are set up once, for all mutants. To set them up runs nothing that is
            mutated, and they need no process or thread of the one that set them up.
    """

    root: Path
    files: Sequence[str]
    mutants: Sequence[tuple[str, str, int]]
    always: Sequence[str]
    prepared: Sequence[str] = ()


def function_at(source: str, line: int) -> tuple[int, int] | None:
    """Return the first lines of the innermost and of the outermost function whose body a line is in."""
    inside = [
        min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body[0].lineno <= line <= (node.end_lineno or node.lineno)
    ]
    return (max(inside), min(inside)) if inside else None


def _module_name(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _put_in_place(path: Path, first_line: int, text: str) -> bool:
    """Give a function of a module or a class its mutated code."""
    # The number of lines before it is the same: a mutation changes one place, and this one is inside.
    made = [code for code in _codes(compile(text, str(path), "exec")) if code.co_firstlineno == first_line]
    functions = [
        function
        for function in gc.get_objects()
        if isinstance(function, FunctionType)
        and function.__code__.co_filename == str(path)
        and function.__code__.co_firstlineno == first_line
        and function.__code__.co_name not in {"<lambda>", "<genexpr>"}
    ]
    for function in functions:
        matching = [code for code in made if code.co_name == function.__code__.co_name]
        if not matching:
            return False
        function.__code__ = matching[0]
    return bool(functions)


def _available(descriptor: int) -> bytes:
    read = []
    with contextlib.suppress(BlockingIOError):
        while text := os.read(descriptor, 1 << 20):
            read.append(text)
    return b"".join(read)


class Warm:
    """A plugin of pytest that tries mutants in place of running the tests once."""

    def __init__(self, work: Work, report: int) -> None:
        self.work, self.report = work, report
        self.sources = {file: (work.root / file).read_text() for file in work.files}
        self.called: FunctionsCalled = {}
        self.durations: dict[str, float] = {}
        self.kills: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self.failure = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the first failure."""
        if report.failed and not self.failure:
            self.failure = report.nodeid

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests once, noting what each calls, then with every mutant."""
        if session.testsfailed:
            return False
        self._prepare(session)
        _, said = self._child(lambda answer: self._without_mutation(session, answer), None)
        if not said or (without := json.loads(said))["failure"]:
            self._say({"failure": without["failure"] if said else "collection"})
            return True
        self.durations = without["durations"]
        self.called = {item: {(file, line) for file, line in calls} for item, calls in without["called"].items()}
        for name in [*without["modules"], *map(_module_name, self.work.files)]:
            with contextlib.suppress(Exception):
                __import__(name)
        for number, (file, text, line) in enumerate(self.work.mutants):
            self._say({"result": self._outcome(session, number, file, text, line)})
        return True

    def _prepare(self, session: pytest.Session) -> None:
        """Run a test with each of the session's fixtures that all mutants share, and leave those set up."""
        for name in self.work.prepared:
            item = next(item for item in session.items if name in item.fixturenames)  # type: ignore[attr-defined]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=session)

    def _say(self, message: dict[str, object]) -> None:
        os.write(self.report, json.dumps(message).encode() + b"\n")

    def _child(self, act: Callable[[int], int], limits: Mapping[str, float] | None) -> tuple[int | None, str]:
        """Do something in a child; return how it ended (None where it took too long) and what it said.

        Args:
            act: What is done; gets the descriptor to say something.
            limits: How long a line may be the last one that it said, in seconds.
        """
        end, answer = os.pipe()
        process = os.fork()
        if process == 0:
            os.setpgid(0, 0)
            os.close(end)
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            os._exit(act(answer))
        os.close(answer)
        os.set_blocking(end, False)
        said, status, deadline = b"", None, time.monotonic() + GRACE_S
        while status is None and (limits is None or time.monotonic() < deadline):
            if more := _available(end):
                said += more
                last = said.decode().splitlines()[-1]
                deadline = time.monotonic() + GRACE_S + GRACE * (limits or {}).get(last, 0)
            ended, code = os.waitpid(process, os.WNOHANG)
            status = os.waitstatus_to_exitcode(code) if ended else None
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
        if status is None:
            os.waitpid(process, 0)
        said += _available(end)
        os.close(end)
        return status, said.decode()

    def _run(self, items: Sequence[pytest.Item], answer: int) -> int:
        for item, following in zip(items, [*items[1:], items[0].session], strict=True):
            os.write(answer, f"{item.nodeid}\n".encode())
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self.failure:
                return FAILED
        return PASSED

    def _without_mutation(self, session: pytest.Session, answer: int) -> int:
        files = {str(self.work.root / file): file for file in self.work.files}
        calls: set[tuple[str, int]] = set()

        def note(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and (file := files.get(frame.f_code.co_filename)):
                calls.add((file, frame.f_code.co_firstlineno))

        known, called = set(sys.modules), {}
        threading.setprofile(note)
        for item, following in zip(session.items, [*session.items[1:], None], strict=True):
            calls.clear()
            begun = time.monotonic()
            sys.setprofile(note)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.setprofile(None)
            self.durations[item.nodeid] = time.monotonic() - begun
            called[item.nodeid] = sorted(calls)
            if self.failure:
                break
        modules = [name for name in sys.modules if name not in known and "." not in name]
        said = {"failure": self.failure, "durations": self.durations, "called": called, "modules": modules}
        with os.fdopen(answer, "w") as file:
            json.dump(said, file)
        return PASSED

    def _outcome(self, session: pytest.Session, number: int, file: str, text: str, line: int) -> str:
        function = function_at(self.sources[file], line)
        if function is None:
            return "fresh"
        innermost, outermost = function
        items = self._chosen(session, file, innermost)
        if not items:
            return "survives"
        path = self.work.root / file
        was = path.stat()
        path.write_text(text)
        os.utime(path, (was.st_atime, was.st_mtime + 10 * (number + 1)))  # compiled code is told from others by it

        def act(answer: int) -> int:
            self.failure = ""
            return self._run(items, answer) if _put_in_place(path, outermost, text) else NOT_IN_PLACE

        try:
            status, begun = self._child(act, self.durations)
        finally:
            path.write_text(self.sources[file])
            os.utime(path, (was.st_atime, was.st_mtime))
        if status in {PASSED, NOT_IN_PLACE}:
            return {PASSED: "survives", NOT_IN_PLACE: "fresh"}[status]
        self.kills[file, innermost].update(begun.splitlines()[-1:])
        return "killed"

    def _chosen(self, session: pytest.Session, file: str, function: int) -> list[pytest.Item]:
        kills = self.kills[file, function]
        chosen = [
            item
            for item in session.items
            if (file, function) in self.called[item.nodeid] or item.nodeid.startswith(tuple(self.work.always))
        ]
        return sorted(chosen, key=lambda item: (-kills[item.nodeid], self.durations[item.nodeid]))


def main() -> None:
    """Try the mutants of a pickled ``Work`` with the tests that pytest's arguments name; report to a descriptor."""
    work = pickle.loads(Path(sys.argv[1]).read_bytes())
    report = int(sys.argv[2])
    gc.disable()
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--capture=sys"]
    sys.exit(pytest.main([*options, *sys.argv[3:]], plugins=[Warm(work, report)]))


if __name__ == "__main__":
    main()

"""Load modules' definitions: a request as JSON on stdin, one JSON object on stdout.

``native_definitions`` runs this file by its path, with the Python of the environment that holds Dagster and the
requirements. It imports nothing from this package, which that environment does not have. Dagster is imported once;
each module is then loaded in its own child process, so that none sees what another one imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from typing import IO, Any


def main() -> int:
    """Load every module of the request: the dotted name of its ``definitions`` and its ``source`` folder, by name."""
    # A script's folder is first in the import path: modules in it must not hide others.
    del sys.path[0]
    request: dict[str, dict[str, str]] = json.load(sys.stdin)
    # What modules print goes to the log, not between the results.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    importlib.import_module("dagster")
    names, at_once = list(request), os.cpu_count() or 1
    answers: dict[str, Any] = {}
    while batch := names[len(answers) : len(answers) + at_once]:
        children = {name: _child(**request[name]) for name in batch}
        answers |= {name: _answer(*child) for name, child in children.items()}
    json.dump(answers, results)
    results.close()
    return 0


def _child(definitions: str, source: str) -> tuple[int, IO[str]]:
    """Start to load a module in a child process; return the process, and the file with its answer."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            with os.fdopen(writer, "w", encoding="utf-8") as answer:
                json.dump(_loaded(definitions, source), answer)
        finally:
            # The child must not continue the parent's work, or clean up for it.
            os._exit(0)
    os.close(writer)
    return process, os.fdopen(reader, encoding="utf-8")


def _answer(process: int, reader: IO[str]) -> dict[str, Any]:
    with reader:
        output = reader.read()
    _, status = os.waitpid(process, 0)
    if output:
        answer: dict[str, Any] = json.loads(output)
        return answer
    code = os.waitstatus_to_exitcode(status)
    ended = f"the exit code {code}" if code >= 0 else f"the signal {-code}"
    return {"error": f"its process ended with {ended}", "place": ""}


def _loaded(definitions: str, source: str) -> dict[str, Any]:
    """Return the keys of a module's assets, or the error if it does not load, or {} if it has no single Definitions."""
    from dagster import Definitions

    sys.path.insert(0, source)
    try:
        module = importlib.import_module(definitions)
        candidates = [value for value in vars(module).values() if isinstance(value, Definitions)]
        if len(candidates) != 1:
            return {}
        Definitions.validate_loadable(candidates[0])
        graph = candidates[0].resolve_asset_graph()
        return {"keys": sorted(key.to_user_string() for key in graph.materializable_asset_keys)}
    except BaseException as error:  # noqa: BLE001 - whatever the module's own code raises
        return _described(_innermost(error), source)


def _innermost(error: BaseException) -> BaseException:
    """Return the first error: Dagster wraps a module's errors in others."""
    # Causes may form a circle.
    chain = [error]
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        if any(inner is seen for seen in chain):
            break
        chain.append(error := inner)
    return error


def _described(error: BaseException, source: str) -> dict[str, Any]:
    """Return an error in one line, and the last ``path:line`` of the module's own code in its traceback."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
        text = f"{type(error).__name__}: {error.msg}"
    own = [f"{file}:{line}" for file, line in frames if file.startswith(source + os.sep)]
    return {"error": text.partition("\n")[0], "place": own[-1] if own else ""}


if __name__ == "__main__":
    sys.exit(main())

"""Load a module's definitions in this process, and print as JSON what Dagster sees.

``environment`` runs this file by its path, with the Python of the module's environment.
It imports nothing from this package, which that environment does not have.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> int:
    """Answer the request on stdin with one JSON object, the last line on stdout."""
    # A script's folder is first in the import path: modules in it must not shadow others.
    del sys.path[0]
    request = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What the module prints must not be part of the answer.
    os.dup2(2, 1)
    sys.path.insert(0, request["source"])
    try:
        answer = _loaded(request["dotted"])
    except BaseException as error:  # noqa: BLE001 - the module's code can raise anything
        answer = {"problem": f"{type(error).__name__}: {error}".partition("\n")[0]}
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
    return 0


def _loaded(dotted: str) -> dict[str, Any]:
    definitions = _definitions(importlib.import_module(dotted))
    validate = getattr(type(definitions), "validate_loadable", None)
    if validate:
        validate(definitions)
    return {
        "assets": [list(spec.key.path) for spec in _specs(definitions)],
        "resources": {name: _kind(value) for name, value in (definitions.resources or {}).items()},
    }


def _definitions(module: Any) -> Any:
    from dagster import Definitions  # not before the import path is set

    try:
        from dagster.components.definitions import LazyDefinitions  # not in older versions
    except ImportError:
        LazyDefinitions = ()  # noqa: N806
    for value in vars(module).values():
        if isinstance(value, Definitions):
            return value
        if LazyDefinitions and isinstance(value, LazyDefinitions):
            return _lazy(value)
    raise LookupError(f"{module.__name__} has no Definitions")


def _lazy(value: Any) -> Any:
    try:
        return value()
    except TypeError:
        from dagster.components.core.context import ComponentLoadContext

        return value(ComponentLoadContext.for_test())


def _specs(definitions: Any) -> Any:
    for name in ("resolve_all_asset_specs", "get_all_asset_specs"):
        if method := getattr(definitions, name, None):
            return method()
    return []


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


if __name__ == "__main__":
    sys.exit(main())

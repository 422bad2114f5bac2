"""Tell the keys of modules' assets: a request as JSON on stdin, one JSON object on stdout.

``native`` runs this file by its path, with the Python of the environment that holds Dagster and the requirements.
It imports nothing of its own package, which that environment does not have.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


def main() -> int:
    """Load every module of the request (definitions and source folder, by name), and print its asset keys."""
    # This file's folder comes first in the import path of a script: its modules must not stand in for others.
    del sys.path[0]
    request: dict[str, dict[str, str]] = json.load(sys.stdin)
    # Whatever the modules print belongs to the log, not between the results.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    json.dump({name: _keys(**module) for name, module in request.items()}, results)
    results.close()
    return 0


def _keys(definitions: str, source: str) -> list[str] | None:
    """Return the keys of the assets that a module makes, or None where it does not load, which others report."""
    sys.path.insert(0, source)
    try:
        loaded: Any = importlib.import_module(definitions)
        graph = loaded.defs.resolve_asset_graph()
        return sorted(key.to_user_string() for key in graph.materializable_asset_keys)
    except Exception:  # noqa: BLE001 - whatever the module's own code raises
        return None


if __name__ == "__main__":
    sys.exit(main())

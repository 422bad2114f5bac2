"""A stand-in for a host's Dagster where a test is about the conversation and not about Dagster.

The protocol's faults are some fifty cases; a real Dagster takes about twenty seconds for each (an import to validate, a
process to reload), on which nothing of those cases depends. This one answers the same GraphQL requests from the same
``workspace.yaml``, and "loads" a location when its package can be imported by the host's Python. ``test_deploy.py``
has the real one.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

#: What a host's Python is called with to load definitions; it imports the package, as the real one does first. The last
#: ``-m`` names it: by hand, ``python -m dotenv … run --`` stands before that.
PYTHON = """\
#!/bin/sh
exec python3 -B -c '
import sys
sys.path.insert(0, sys.argv[sys.argv.index("-d") + 1])
__import__(sys.argv[len(sys.argv) - sys.argv[::-1].index("-m")])
print("definitions: loaded")
' "$@"
"""


class QuickDagster:
    """Answers as Dagster's webserver does."""

    def __init__(self, base: Path, port: int = 0) -> None:
        self.base = base
        self.known: dict[str, dict[str, Any]] = {}
        self.reloads = 0
        self.runs: list[dict[str, Any]] = []
        self.alive = True
        #: Called with each request's text, so that a test can do something just then.
        self.on_request: Callable[[str], None] = lambda _: None
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def prepare(self) -> str:
        """Make the host's folder; return the Python that it has."""
        self.base.mkdir(parents=True, exist_ok=True)
        (self.base / "workspace.yaml").write_text("# The locations of this host.\nload_from: []\n")
        (self.base / "modules").mkdir()
        python = self.base.parent / "python"
        python.write_text(PYTHON)
        python.chmod(0o755)
        return str(python)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def locations(self) -> dict[str, dict[str, Any]]:
        return self.known

    def reload(self) -> None:
        self.reloads += 1
        entries = yaml.safe_load((self.base / "workspace.yaml").read_text())["load_from"] or []
        targets = [next(iter(one.values())) for one in entries]
        self.known = {target["location_name"]: _loaded(target) for target in targets}

    def answer(self, query: str) -> dict[str, Any]:
        self.on_request(query)
        if "reloadWorkspace" in query:
            self.reload()
            return {"reloadWorkspace": {"__typename": "Workspace"}}
        if "daemonHealth" in query:
            statuses = [{"daemonType": "SENSOR", "required": True, "healthy": self.alive}]
            return {"instance": {"daemonHealth": {"allDaemonStatuses": statuses}}}
        if "runsOrError" in query:
            return {"runsOrError": {"__typename": "Runs", "results": self.runs}}
        entries = [_entry(name, state) for name, state in self.known.items()]
        return {"workspaceOrError": {"__typename": "Workspace", "locationEntries": entries}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        dagster = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                query = json.loads(self.rfile.read(length))["query"]
                text = json.dumps({"data": dagster.answer(query)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _loaded(target: dict[str, Any]) -> dict[str, Any]:
    if "port" in target:
        return dict(target["additional_metadata"])
    folder = Path(target["working_directory"])
    package = folder / target["package_name"].replace(".", "/")
    state: dict[str, Any] = {"working_directory": str(folder)}
    if not package.with_suffix(".py").is_file():
        state["error"] = f"no {package}"
    elif (package.parent / "dagster_fails").exists():
        state["error"] = "Dagster cannot load this one"
    return state


def _entry(name: str, state: dict[str, Any]) -> dict[str, Any]:
    error = state.get("error")
    result = {"__typename": "PythonError", "message": error} if error else {"__typename": "RepositoryLocation"}
    metadata = [{"key": key, "value": value} for key, value in state.items() if key != "error"]
    return {"name": name, "loadStatus": "LOADED", "displayMetadata": metadata, "locationOrLoadError": result}


if __name__ == "__main__":
    stand_in = QuickDagster(Path(sys.argv[1]), int(sys.argv[2]))
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for this
    threading.Event().wait()

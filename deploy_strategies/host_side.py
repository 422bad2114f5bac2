"""The host's side of a deployment: one conversation over stdin and stdout, for as long as the client lives.

Sent over the channel and run by the host's own Python (3.8 or newer, standard library only); no file of it stays there.
Each line is a JSON request, or empty as a sign of life; each answer is a line too. Whatever is half done when the
client falls silent, or is killed, is undone, and the lock goes with the process.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import queue
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

#: As in ``typing``, whose import nobody needs at run time.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

PROTOCOL = 1

#: Seconds without a sign of the client after which it counts as gone, and seconds for undoing after that. The sum is
#: less than the minute within which the lock has to be free.
SILENCE = 20.0
UNDOING = 30.0
SIGN_OF_LIFE = 5.0

#: Files that a release holds beside the module's own.
OWN_FILES = ("RELEASE.json", "manifest.sha256")

STATE = "state.json"

#: Starts a program with the settings in a file.
START_WITH = (
    "import json, os, sys; os.environ.pop('PYTHONPATH', None); os.environ.update(json.load(open(sys.argv[1]))); "
    "os.execvp(sys.argv[2], sys.argv[2:])"
)
IN_PROGRESS = ("QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "CANCELING")


class RefusedError(Exception):
    """The request cannot be carried out; ``code`` is for the client, the text for people."""

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code, self.details = code, details


class GoneError(Exception):
    """The client is gone."""


# -- Files ------------------------------------------------------------------------------------------------------------


def digest(text: bytes | None) -> str | None:
    """Return the SHA-256 of bytes, or None where there are none."""
    return None if text is None else hashlib.sha256(text).hexdigest()


def read(path: str) -> bytes | None:
    """Return a file's bytes, or None where there is no file."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_json(path: str, otherwise: Any = None) -> Any:
    """Return a JSON file's content."""
    text = read(path)
    try:
        return otherwise if text is None else json.loads(text)
    except ValueError:
        raise RefusedError("damaged", f"{path} on the host is not JSON: mend or remove it.") from None


def write(path: str, text: bytes, mode: int = 0o644) -> None:
    """Put a file in place by a rename, after its bytes are on the disk."""
    staged = f"{path}.deploy.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            os.fsync(handle)
        keep_owner(path, staged)
        os.rename(staged, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)
        raise
    sync(os.path.dirname(path))


def keep_owner(path: str, staged: str) -> None:
    """Give a file's owner to the one that replaces it."""
    with contextlib.suppress(FileNotFoundError, PermissionError):
        there = os.stat(path)
        if (there.st_uid, there.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(staged, there.st_uid, there.st_gid)


def sync(folder: str) -> None:
    """Have a folder's entries on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: str) -> None:
    """Remove a folder, read-only or not."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    with contextlib.suppress(FileNotFoundError):  # Another one removes it too.
        shutil.rmtree(path)


def remove_later(path: str) -> None:
    """Remove a folder without waiting for it; what is left of it after an early end is removed by the next command."""
    command = ["/bin/sh", "-c", 'chmod -R u+w "$1"; rm -rf "$1"', "sh", path]
    nowhere = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)


def point(link: str, target: str | None) -> None:
    """Let a symbolic link point to a target, in one step; None takes it away."""
    if target is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        return
    staged = f"{link}.deploy.tmp"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(staged)
    os.symlink(target, staged)
    os.rename(staged, link)


def target_of(link: str) -> str | None:
    """Return where a link points, or None."""
    try:
        return os.readlink(link)
    except OSError:
        return None


def manifest(folder: str) -> str:
    """Return a line for each entry below a folder, by path: hash, kind, path. The client writes the same."""
    lines = []
    for where, folders, files in os.walk(folder):
        for name in [*files, *(one for one in folders if os.path.islink(os.path.join(where, one)))]:
            path = os.path.join(where, name)
            relative = os.path.relpath(path, folder)
            if relative not in OWN_FILES:
                lines.append(entry(path, relative))
    return "".join(sorted(lines))


def entry(path: str, relative: str) -> str:
    """Return the manifest's line for one file or link."""
    if os.path.islink(path):
        return f"{hashlib.sha256(os.fsencode(os.readlink(path))).hexdigest()} l {json.dumps(relative)}\n"
    kind = "x" if os.stat(path).st_mode & 0o100 else "f"
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(1 << 20), b""):
            found.update(part)
    return f"{found.hexdigest()} {kind} {json.dumps(relative)}\n"


def make_read_only(folder: str) -> None:
    """Take the right to write from everything below a folder, and let everybody read it."""
    for where, _, files in os.walk(folder, topdown=False):
        for name in files:
            path = os.path.join(where, name)
            if not os.path.islink(path):
                mode = stat.S_IMODE(os.stat(path).st_mode)
                wanted = (mode | 0o444 | (0o111 if mode & 0o100 else 0)) & ~0o222
                if mode != wanted:
                    os.chmod(path, wanted)
        os.chmod(where, 0o555)  # noqa: S103 - code, which everybody may read


def now() -> str:
    """Return the time, in UTC and for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# -- The client, heard and answered -----------------------------------------------------------------------------------


class Client:
    """Hears the client, and notices when it is gone."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self.requests, self.answers = requests, answers
        # Signal handlers put into it, so it has to be reentrant.
        self.inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.gone = threading.Event()
        self.heard = time.monotonic()
        self.groups: set[int] = set()
        self.writing = threading.Lock()
        for work in (self.listen, self.watch, self.breathe):
            threading.Thread(target=work, daemon=True).start()

    def listen(self) -> None:
        """Take in requests and signs of life until the channel is closed."""
        with contextlib.suppress(OSError, ValueError):
            for line in iter(self.requests.readline, b""):
                self.heard = time.monotonic()
                if line.strip():
                    self.inbox.put(json.loads(line))
        self.leave()

    def watch(self) -> None:
        """End the work of a client that is silent, and this process if it cannot be undone in time."""
        while not self.gone.wait(1.0):
            if time.monotonic() - self.heard > SILENCE:
                self.leave()
        time.sleep(UNDOING)
        os._exit(1)

    def leave(self) -> None:
        """Note that the client is gone, and end what runs for it."""
        self.gone.set()
        self.inbox.put(None)
        for group in list(self.groups):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def breathe(self) -> None:
        """Give signs of life."""
        while not self.gone.wait(SIGN_OF_LIFE):
            self.say(b"\n")

    def say(self, line: bytes) -> None:
        """Write one line, unless nobody is there to read it."""
        with self.writing, contextlib.suppress(OSError, ValueError):
            self.answers.write(line)
            self.answers.flush()

    def answer(self, **data: Any) -> None:
        """Answer a request, or tell of its progress."""
        self.say(json.dumps(data).encode() + b"\n")

    def check(self) -> None:
        """Raise GoneError where the client is gone."""
        if self.gone.is_set():
            raise GoneError

    def run(
        self, command: Sequence[str], given: bytes | None = None, limit: float | None = None, **options: Any
    ) -> tuple[int, str]:
        """Run a program in a process group of its own; return its exit code and what it said."""
        self.check()
        source = subprocess.DEVNULL if given is None else subprocess.PIPE
        process = subprocess.Popen(
            command, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True, **options
        )
        self.groups.add(process.pid)
        try:
            if self.gone.is_set():
                os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate(given, timeout=limit)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[0] + f"\n(ended after {limit} seconds)".encode()
        finally:
            self.groups.discard(process.pid)
        self.check()
        return process.returncode, said.decode("utf-8", "replace")


# -- The host's Dagster -----------------------------------------------------------------------------------------------


LOCATIONS = """{ workspaceOrError { __typename
  ... on Workspace { locationEntries { name loadStatus displayMetadata { key value }
    locationOrLoadError { __typename ... on PythonError { message } } } }
  ... on PythonError { message } } }"""
RELOAD = """mutation { reloadWorkspace { __typename
  ... on PythonError { message } ... on UnauthorizedError { message } } }"""
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
RUNS = """query($statuses: [RunStatus!]) { runsOrError(filter: {statuses: $statuses}) { __typename
  ... on Runs { results { runId status tags { key value }
    repositoryOrigin { repositoryLocationName repositoryLocationMetadata { key value } } } } } }"""


class Dagster:
    """The Dagster of this host, over GraphQL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def ask(self, query: str, variables: dict[str, Any] | None = None, limit: float = 60) -> dict[str, Any]:
        """Return the data that answers a query.

        Raises:
            RefusedError: Dagster does not answer.
        """
        # Without urllib, whose import takes longer than the answer, and which might ask a proxy.
        from http import client  # noqa: PLC0415

        scheme, _, rest = self.url.partition("://")
        place, _, path = rest.partition("/")
        kind = client.HTTPSConnection if scheme == "https" else client.HTTPConnection
        body = json.dumps({"query": query, "variables": variables or {}})
        try:
            with contextlib.closing(kind(place, timeout=limit)) as connection:
                target = f"/{path}/graphql" if path else "/graphql"
                connection.request("POST", target, body, {"Content-Type": "application/json"})
                data = json.loads(connection.getresponse().read())
        except (OSError, ValueError, client.HTTPException) as error:
            raise RefusedError("dagster", f"Dagster does not answer at {self.url} on the host: {error}.") from None
        if data.get("errors"):
            raise RefusedError("dagster", f"Dagster at {self.url}: {data['errors'][0].get('message')}")
        answered: dict[str, Any] = data["data"]
        return answered

    def locations(self, limit: float = 60) -> dict[str, Any]:
        """Return each code location's state: whether it loaded, its error, and the metadata that names its code."""
        found = self.ask(LOCATIONS, limit=limit)["workspaceOrError"]
        if found["__typename"] != "Workspace":
            raise RefusedError("dagster", f"Dagster cannot read its workspace: {found.get('message')}")
        return {one["name"]: self.state(one) for one in found["locationEntries"]}

    @staticmethod
    def state(location: dict[str, Any]) -> dict[str, Any]:
        """Return one code location's state."""
        result = location["locationOrLoadError"] or {}
        loaded = location["loadStatus"] == "LOADED" and result.get("__typename") == "RepositoryLocation"
        metadata = {one["key"]: one["value"] for one in location["displayMetadata"]}
        return {
            "loaded": loaded,
            "status": location["loadStatus"],
            "error": result.get("message"),
            "metadata": metadata,
        }

    def reload(self, limit: float = 180) -> None:
        """Have the workspace file read again and every location loaded anew."""
        found = self.ask(RELOAD, limit=limit)["reloadWorkspace"]
        if found["__typename"] != "Workspace":
            raise RefusedError("dagster", f"Dagster did not reload its workspace: {found.get('message')}")

    def daemons(self) -> bool:
        """Tell whether every daemon that has to be alive is."""
        statuses = self.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(one["healthy"] for one in statuses if one["required"])

    def runs(self) -> list[dict[str, Any]]:
        """Return the runs in progress: location, and everything that is said of where their code is."""
        found = self.ask(RUNS, {"statuses": list(IN_PROGRESS)})["runsOrError"]
        return [self.run_of(one) for one in found.get("results", [])]

    @staticmethod
    def run_of(run: dict[str, Any]) -> dict[str, Any]:
        """Return one run in progress."""
        origin = run["repositoryOrigin"] or {}
        where = " ".join(str(one["value"]) for one in origin.get("repositoryLocationMetadata") or [])
        return {
            "id": run["runId"],
            "status": run["status"],
            "location": origin.get("repositoryLocationName"),
            "code": where,
        }


# -- The conversation -------------------------------------------------------------------------------------------------


class Conversation:
    """Carries out the requests of one client, below one base path."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.base = ""
        self.lock: BinaryIO | None = None
        self.dagster = Dagster("http://127.0.0.1:3000")
        self.switched = False

    @property
    def modules(self) -> str:
        """The folder of all modules."""
        return os.path.join(self.base, "modules")

    @property
    def journal(self) -> str:
        """What is being switched."""
        return os.path.join(self.modules, ".journal")

    def of(self, module: str, *parts: str) -> str:
        """Return a path of one module's."""
        return os.path.join(self.modules, module, *parts)

    def release(self, module: str, identity: str) -> str:
        """Return a release's folder."""
        return self.of(module, "releases", identity)

    # Requests, by name

    def do_open(
        self,
        base: str,
        url: str,
        modules: list[Any],
        files: list[Any],
        tools: list[str],
        holder: dict[str, Any] | None = None,
        wait: float = 0.0,
    ) -> dict[str, Any]:
        """Say what there is; with a holder, under the lock. Without one nothing is changed.

        Args:
            base: The base path.
            url: Where Dagster's webserver answers on this host.
            modules: The modules to tell of.
            files: The shared files to send, below the base.
            tools: The programs to look for.
            holder: Who deploys, and what; None takes no lock.
            wait: How many seconds to wait for another holder.
        """
        self.base = os.path.expanduser(base)
        self.dagster = Dagster(url)
        if not os.path.isdir(self.modules):
            raise RefusedError("setup", f"{self.modules} is not there on the host: run 'deploy.setup' once.")
        mended = self.take_lock(holder, wait) if holder else []
        return {
            "mended": mended,
            "base": self.base,
            "user": pwd.getpwuid(os.geteuid()).pw_name,
            "uid": os.geteuid(),
            "gid": os.getegid(),
            "host": os.uname().nodename,
            "python": ".".join(map(str, sys.version_info[:3])),
            "writable": os.access(self.modules, os.W_OK),
            "disk": self.disk(),
            "tools": {name: shutil.which(name) for name in tools},
            "docker": self.docker() if "docker" in tools else None,
            "files": {name: self.shared(name) for name in files},
            "modules": {name: self.module(name) for name in modules},
            "dagster": self.seen(),
            "lock": self.holder(),
            "journal": os.path.isdir(self.journal),
        }

    def disk(self) -> dict[str, Any]:
        """Return what is free for us, in bytes and files."""
        found = os.statvfs(self.modules)
        return {"bytes": found.f_bavail * found.f_frsize, "files": found.f_favail or None}

    def docker(self) -> str | None:
        """Say why Docker cannot be used here; None when it can."""
        if shutil.which("docker") is None:
            return "docker is not installed"
        code, said = self.client.run(["docker", "version", "--format", "{{.Server.Version}}"], limit=20)
        return said.strip().splitlines()[-1] if code else None

    def shared(self, name: str) -> str | None:
        """Return a shared file's bytes."""
        text = read(os.path.join(self.base, name))
        return None if text is None else base64.b64encode(text).decode()

    def module(self, name: str) -> dict[str, Any]:
        """Return what is known of a module here."""
        folder = self.of(name, "releases")
        entries = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        releases = {one: read_json(os.path.join(folder, one, "RELEASE.json"), {}) for one in entries if "." not in one}
        return {
            "state": read_json(self.of(name, STATE), {}),
            "releases": releases,
            "bad": [one for one in entries if one.endswith(".bad")],
            "unfinished": [one for one in entries if one.endswith(".tmp")],
            "environments": self.environments(name),
        }

    def environments(self, module: str) -> list[str]:
        """Return the environments that are complete."""
        folder = self.of(module, "venvs")
        found = os.listdir(folder) if os.path.isdir(folder) else []
        return [one for one in found if os.path.exists(os.path.join(folder, one, ".complete"))]

    def seen(self) -> dict[str, Any]:
        """Return what Dagster says of itself, or why it does not."""
        try:
            return {"locations": self.dagster.locations(limit=20), "daemons": self.dagster.daemons()}
        except RefusedError as error:
            return {"error": str(error)}

    def holder(self) -> dict[str, Any] | None:
        """Return who holds the lock, or None where it is free."""
        path = os.path.join(self.modules, ".lock")
        if not os.path.exists(path) or self.lock is not None:
            return None
        with open(path, "rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                held: dict[str, Any] = read_json(os.path.join(self.modules, ".holder"), {})
                return held
        return None

    def do_layout(self, base: str) -> dict[str, Any]:
        """Make the folders that deployments live in."""
        self.base = os.path.expanduser(base)
        made = not os.path.isdir(self.modules)
        os.makedirs(self.modules, mode=0o755, exist_ok=True)
        return {"base": self.base, "made": made}

    def take_lock(self, holder: dict[str, Any], wait: float) -> list[str]:
        """Take the lock, and mend what an earlier death left."""
        self.lock = lock = open(os.path.join(self.modules, ".lock"), "ab")  # noqa: SIM115 - held to the end
        # Somebody who only looks holds it for a moment.
        until = time.monotonic() + max(wait, 1.0)
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    lock.close()
                    self.lock = None
                    raise RefusedError("locked", self.held_by()) from None
            self.client.check()
            time.sleep(0.05)
        mine = {**holder, "pid": os.getpid(), "since": now()}
        write(os.path.join(self.modules, ".holder"), json.dumps(mine).encode())
        return self.mend()

    def held_by(self) -> str:
        """Say who holds the lock."""
        mine = read_json(os.path.join(self.modules, ".holder"), {})
        return (
            f"{mine.get('who', 'somebody')} has been deploying here since {mine.get('since', 'a while')} "
            f"({mine.get('command', 'unknown')}): wait with --wait SECONDS, or see 'deploy.unlock'."
        )

    def mend(self) -> list[str]:
        """Undo what an earlier conversation left half done; return what was done."""
        mended = []
        if os.path.isdir(self.journal):
            mended += ["An earlier deployment was cut off: the old release was put back.", *self.undo()]
            self.reload_quietly()
        for name in os.listdir(self.modules):
            releases = self.of(name, "releases")
            for one in os.listdir(releases) if os.path.isdir(releases) else []:
                if one.endswith((".tmp", ".gone")):
                    remove_tree(os.path.join(releases, one))
            venvs = self.of(name, "venvs")
            for one in os.listdir(venvs) if os.path.isdir(venvs) else []:
                if not os.path.exists(os.path.join(venvs, one, ".complete")):
                    remove_tree(os.path.join(venvs, one))
        for one in os.listdir(self.modules):
            if one.startswith((".journal.", ".temporary")):
                remove_tree(os.path.join(self.modules, one))
        return mended

    def do_begin(self, module: str, identity: str, need: int = 0) -> dict[str, Any]:
        """Make an empty folder for a release, where there is room for it."""
        if self.lock is None:
            raise RefusedError("locked", "The lock is not held.")
        self.refuse_full(need)
        for part in ("releases", "env", "shared", "venvs"):
            os.makedirs(self.of(module, part), mode=0o755, exist_ok=True)
        os.chmod(self.of(module, "env"), 0o700)
        if any(os.path.exists(self.release(module, identity) + suffix) for suffix in ("", ".bad")):
            raise RefusedError("exists", f"A release {identity} is on the host already: deploy again.")
        folder = self.release(module, identity) + ".tmp"
        os.mkdir(folder, 0o755)
        state = read_json(self.of(module, STATE), {})
        return {"folder": folder, "current": state.get("current"), "repository": self.of(module, "repo.git")}

    def refuse_full(self, need: int) -> None:
        """Refuse where there is too little room."""
        free = self.disk()["bytes"]
        if free < need:
            raise RefusedError(
                "disk", f"{self.base} has {free >> 20} MiB free, and {need >> 20} MiB are needed: make room there."
            )

    def do_run(
        self,
        command: list[str],
        given: str | None = None,
        cwd: str | None = None,
        limit: float | None = 600,
        environ: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Run a step of a strategy's."""
        text = None if given is None else base64.b64decode(given)
        try:
            code, said = self.client.run(
                command, text, limit, cwd=cwd or self.base, env={**os.environ, **(environ or {})}
            )
        except FileNotFoundError:
            raise RefusedError("tool", f"{command[0]} is not installed on the host.") from None
        return {"code": code, "said": said[-20000:]}

    def seen_from(self, where: dict[str, Any] | None, path: str) -> str:
        """Return a path below the base as it is where Dagster runs."""
        return path if where is None else where["inside"] + path[len(self.base) :]

    def run_where(
        self, where: dict[str, Any] | None, command: Sequence[str], cwd: str, limit: float, settings: dict[str, str]
    ) -> tuple[int, str]:
        """Run a command where Dagster runs: here, or in its container.

        Args:
            where: How to get there (``prefix``, ``service``), and where the base is there (``inside``); None is here.
            command: The command.
            cwd: The folder to run it in, as it is here.
            limit: Seconds until it is ended.
            settings: Variables for it. A container is told them by a file: its command line can be read by everybody.
        """
        if where is None:
            clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            return self.client.run(command, None, limit, cwd=cwd, env={**clean, **settings})
        path = os.path.join(cwd, ".settings.json")
        write(path, json.dumps(settings).encode(), 0o600)
        there = [*where["prefix"], "-w", self.seen_from(where, cwd), where["service"]]
        start = ["python3", "-c", START_WITH, self.seen_from(where, path)]
        try:
            return self.client.run([*there, *start, *command], None, limit)
        finally:
            os.unlink(path)

    def do_environment(
        self,
        module: str,
        identity: str,
        requirements: str,
        constraints: str,
        python: str,
        need: int = 0,
        where: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Build the environment of a release, unless it is there already.

        Args:
            module: Whose it is.
            identity: The hash of what goes into it.
            requirements: The requirements file's text.
            constraints: The constraints file's text.
            python: The interpreter that it is made with.
            need: The free space that it takes, in bytes.
            where: Where Dagster runs.
        """
        folder = self.of(module, "venvs", identity)
        if os.path.exists(os.path.join(folder, ".complete")):
            return {"built": False}
        self.refuse_full(need)
        remove_tree(folder)
        os.makedirs(folder)
        for name, text in (("requirements.txt", requirements), ("constraints.txt", constraints)):
            write(os.path.join(folder, name), text.encode())
        has_uv = self.has_uv(where, folder)
        for command in building(self.seen_from(where, folder), python, has_uv=has_uv):
            code, said = self.run_where(where, command, folder, 1800, {})
            if code:
                remove_tree(folder)
                raise RefusedError("environment", f"The environment of {module} could not be built:\n{said[-4000:]}")
        write(os.path.join(folder, ".complete"), b"")
        return {"built": True}

    def has_uv(self, where: dict[str, Any] | None, folder: str) -> bool:
        """Tell whether there is uv where Dagster runs."""
        try:
            return self.run_where(where, ["uv", "--version"], folder, 60, {})[0] == 0
        except OSError:
            return False

    def do_verify(
        self, module: str, identity: str, wanted: str, record: dict[str, Any], check: dict[str, Any]
    ) -> dict[str, Any]:
        """Compare what arrived with what was sent, finish the release, and load its definitions."""
        folder = self.release(module, identity) + ".tmp"
        found = manifest(folder)
        if digest(found.encode()) != wanted:
            raise RefusedError("manifest", f"What arrived in {folder} is not what was sent.", manifest=found)
        write(os.path.join(folder, "manifest.sha256"), found.encode())
        write(os.path.join(folder, "RELEASE.json"), json.dumps(record, indent=2).encode())
        make_read_only(folder)
        sync(folder)
        return self.do_check(module, folder=folder, **check)

    def do_check(
        self,
        module: str,
        folder: str | None,
        python: str,
        package: str,
        environ: dict[str, str],
        path: str = "src",
        where: dict[str, Any] | None = None,
        identity: str | None = None,
    ) -> dict[str, Any]:
        """Load a release's definitions with the settings that it is to have."""
        started = time.monotonic()
        code_folder = os.path.join(folder or self.release(module, str(identity)), path)
        home = os.path.join(self.modules, f".temporary-{os.getpid()}")
        os.mkdir(home, 0o700)
        own = {
            "DAGSTER_HOME": self.seen_from(where, home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [python, "-m", "dagster", "definitions", "validate", "-m", package]
        command += ["-d", self.seen_from(where, code_folder)]
        try:
            write(os.path.join(home, "dagster.yaml"), b"telemetry:\n  enabled: false\n")
            code, said = self.run_where(where, command, home, 300, {**environ, **own})
        except FileNotFoundError as error:
            raise RefusedError("python", f"{python} does not run on the host: {error.strerror}.") from None
        finally:
            remove_tree(home)
        if code:
            raise RefusedError("definitions", f"The definitions of {module} do not load:\n{tail(said)}")
        return {"seconds": round(time.monotonic() - started, 3)}

    def do_wait(self, locations: list[str], limit: float) -> dict[str, Any]:
        """Wait until no run of these locations is in progress."""
        until = time.monotonic() + limit
        while True:
            runs = [run for run in self.dagster.runs() if run["location"] in locations]
            if not runs:
                return {"waited": True}
            if time.monotonic() > until:
                raise RefusedError(
                    "runs", f"{len(runs)} runs are still in progress: try again later, or without --drain."
                )
            self.client.answer(progress=f"waiting for {len(runs)} runs")
            for _ in range(20):
                self.client.check()
                time.sleep(0.1)

    def do_switch(
        self,
        files: list[Any],
        modules: list[Any],
        expect: dict[str, str],
        absent: Sequence[str] = (),
        limit: float = 120,
    ) -> dict[str, Any]:
        """Put the new release into Dagster's files, and prove that Dagster has loaded it.

        Args:
            files: Path below the base, digest before, text (Base64) or None, and mode of each shared file.
            modules: For each module its release, and the text (Base64) of its settings.
            expect: The code folder that Dagster has to name for each location.
            absent: The locations that Dagster must not know any more.
            limit: Seconds until Dagster has to have loaded them.
        """
        before = self.dagster.daemons()
        changes = [self.change(one) for one in files] + [one for each in modules for one in self.changes_of(each)]
        stale = [one["path"] for one in changes if one["found"] != one["before"]]
        if stale:
            raise RefusedError("changed", f"{', '.join(stale)} on the host was changed meanwhile: deploy again.")
        self.write_journal(changes, modules)
        self.switched = True
        self.apply(changes, modules)
        started = time.monotonic()
        self.dagster.reload(limit)
        self.await_locations(expect, absent, started + limit)
        daemons = self.dagster.daemons()
        if before and not daemons:
            raise RefusedError("daemon", "Dagster's daemon is not alive any more.")
        return {"seconds": round(time.monotonic() - started, 3), "daemons": daemons}

    def change(self, one: dict[str, Any]) -> dict[str, Any]:
        """Return one shared file's change, as the journal wants it."""
        path = os.path.realpath(os.path.join(self.base, one["path"]))
        text = None if one["text"] is None else base64.b64decode(one["text"])
        return self.changed(path, one["before"], text, one["mode"])

    def changed(self, path: str, before: str | None, text: bytes | None, mode: int) -> dict[str, Any]:
        """Return a file's change; the mode of a file that is there stays."""
        old = read(path)
        if old is not None:
            mode = stat.S_IMODE(os.stat(path).st_mode)
        return {"path": path, "before": before, "found": digest(old), "old": old, "text": text, "mode": mode}

    def changes_of(self, each: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the changes of one module's own files."""
        module, identity = each["module"], each["release"]
        state_path = self.of(module, STATE)
        old = read_json(state_path, {})
        previous = old.get("current") if old.get("current") != identity else old.get("previous")
        state = {**old, "current": identity, "previous": previous, "since": now(), **each.get("state", {})}
        files = [(state_path, json.dumps(state, indent=2).encode(), 0o644)]
        if each.get("env") is not None:
            files.append((self.of(module, "env", f"{identity}.env"), base64.b64decode(each["env"]), 0o600))
        return [self.changed(path, digest(read(path)), text, mode) for path, text, mode in files]

    def write_journal(self, changes: list[dict[str, Any]], modules: list[Any]) -> None:
        """Have on the disk what is about to be done, and everything that undoing it takes."""
        staged = f"{self.journal}.tmp"
        remove_tree(staged)
        os.mkdir(staged, 0o700)
        files = []
        for number, one in enumerate(changes):
            if one["old"] is not None:
                write(os.path.join(staged, f"{number}.old"), one["old"], 0o600)
            held = None if one["old"] is None else f"{number}.old"
            after = digest(one["text"])
            files.append(
                {"path": one["path"], "before": one["before"], "after": after, "mode": one["mode"], "held": held}
            )
        links = [(self.of(one["module"], name), target_of(self.of(one["module"], name)))
                 for one in modules for name in ("current", "previous")]  # fmt: skip
        made = [self.release(one["module"], one["release"]) for one in modules if one.get("new")]
        text = json.dumps({"files": files, "links": links, "made": made}).encode()
        write(os.path.join(staged, "journal.json"), text, 0o600)
        os.rename(staged, self.journal)
        sync(self.modules)

    def apply(self, changes: list[dict[str, Any]], modules: list[Any]) -> None:
        """Put everything in place, the workspace's own files last."""
        for one in modules:
            if one.get("new"):
                os.rename(
                    self.release(one["module"], one["release"]) + ".tmp", self.release(one["module"], one["release"])
                )
        for one in sorted(changes, key=lambda one: os.path.basename(one["path"]) == "workspace.yaml"):
            self.client.check()
            if one["text"] is None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(one["path"])
            elif one["before"] != digest(one["text"]):
                write(one["path"], one["text"], one["mode"])
        for one in modules:
            state = read_json(self.of(one["module"], STATE), {})
            for name in ("current", "previous"):
                identity = state.get(name)
                point(self.of(one["module"], name), identity and os.path.join("releases", identity))

    def await_locations(self, expect: dict[str, str], absent: Sequence[str], until: float) -> None:
        """Wait until Dagster has loaded every location from the code that it is to have."""
        while True:
            self.client.check()
            found = self.dagster.locations()
            wrong = [problem for problem in (complaint(found, *one) for one in expect.items()) if problem]
            wrong += [f"{name}: still in Dagster" for name in absent if name in found]
            if not wrong:
                return
            failed = [name for name in expect if found.get(name, {}).get("error")]
            if failed or time.monotonic() > until:
                raise RefusedError("health", "Dagster did not take it: " + "; ".join(wrong))
            time.sleep(0.3)

    def do_keep(self, modules: list[str], keep: int, log: dict[str, Any]) -> dict[str, Any]:
        """Let the new release stand: forget how to undo it, write it into the log, remove what is too old."""
        self.forget()
        busy = self.busy()
        pruned = []
        for one in modules:
            self.log(one, {**log, "result": "good", "release": read_json(self.of(one, STATE), {}).get("current")})
            pruned += self.prune(one, keep, busy)
        return {"pruned": pruned}

    def forget(self) -> None:
        """Drop the journal: from here on nothing is undone."""
        if os.path.isdir(self.journal):
            done = f"{self.journal}.done"
            remove_tree(done)
            os.rename(self.journal, done)
            sync(self.modules)
            remove_tree(done)
        self.switched = False

    def busy(self) -> str | None:
        """Return where the code of the runs in progress is, as text; None where nobody knows."""
        try:
            return " ".join(run["code"] for run in self.dagster.runs())
        except RefusedError:
            return None

    def prune(self, module: str, keep: int, busy: str | None) -> list[str]:
        """Remove releases that are too old, unless runs still use them, and environments that none uses."""
        state = read_json(self.of(module, STATE), {})
        there = self.module(module)
        needed = {state.get("current"), state.get("previous")}
        old = [one for one in sorted(there["releases"], reverse=True) if one not in needed]
        spare = max(keep - len(needed - {None}), 0)
        gone = [one for one in old[spare:] if busy is not None and f"/releases/{one}" not in busy]
        for one in [*gone, *there["bad"][:-1]]:
            folder = self.release(module, one)
            os.rename(folder, f"{folder}.gone")
            remove_later(f"{folder}.gone")
            remove_tree(self.of(module, "env", f"{one.split('.')[0]}.env"))
        kept = {record.get("environment") for one, record in there["releases"].items() if one not in gone}
        for one in there["environments"]:
            if one not in kept:
                remove_tree(self.of(module, "venvs", one))
        return gone

    def do_back(self, modules: list[Any], log: dict[str, Any]) -> dict[str, Any]:
        """Put the old release back."""
        problems = []
        if os.path.isdir(self.journal):
            problems = self.undo()
            problems += self.reload_quietly()
        for one in modules:
            self.log(one, {**log, "result": "bad"})
            folder = self.of(one, "releases")
            for name in os.listdir(folder) if os.path.isdir(folder) else []:
                if name.endswith(".tmp"):
                    remove_tree(os.path.join(folder, name))
        return {"problems": problems}

    def undo(self) -> list[str]:
        """Put back what the journal says; a file that somebody changed since is left as it is, and named."""
        intent = read_json(os.path.join(self.journal, "journal.json"))
        problems = []
        for one in intent["files"]:
            there = digest(read(one["path"]))
            if there == one["after"] != one["before"]:
                self.put_back(one)
            elif there != one["before"]:
                problems.append(f"{one['path']} was changed by somebody since, and is left as it is.")
        for link, target in intent["links"]:
            if os.path.isdir(os.path.dirname(link)):
                point(link, target)
        for folder in intent["made"]:
            if os.path.isdir(folder):
                remove_tree(f"{folder}.bad")
                os.rename(folder, f"{folder}.bad")
        self.forget()
        return problems

    def put_back(self, one: dict[str, Any]) -> None:
        """Put one file back, by a rename: a full disk does not stop it."""
        if one["held"] is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one["path"])
            return
        held = os.path.join(self.journal, one["held"])
        os.chmod(held, one["mode"])
        keep_owner(one["path"], held)
        os.rename(held, one["path"])
        sync(os.path.dirname(one["path"]))

    def reload_quietly(self) -> list[str]:
        """Have Dagster load what is there now; return why it did not."""
        try:
            self.dagster.reload(limit=UNDOING - 8)
        except RefusedError as error:
            return [str(error)]
        return []

    def log(self, module: str, record: dict[str, Any]) -> None:
        """Add a line to a module's log."""
        with contextlib.suppress(OSError), open(self.of(module, "log.jsonl"), "ab") as file:
            file.write(json.dumps({"at": now(), **record}).encode() + b"\n")

    def do_log(self, module: str) -> dict[str, Any]:
        """Return a module's log."""
        text = read(self.of(module, "log.jsonl")) or b""
        return {"log": [json.loads(line) for line in text.splitlines() if line.startswith(b"{")]}

    def do_settings(self, module: str, identity: str) -> dict[str, Any]:
        """Return the settings of a release."""
        text = read(self.of(module, "env", f"{identity}.env"))
        if text is None:
            raise RefusedError("release", f"The settings of release {identity} are not on the host any more.")
        return {"env": base64.b64encode(text).decode()}

    def do_contents(self, module: str, identity: str) -> dict[str, Any]:
        """Return what a release consists of: the manifest of its files, and its settings."""
        text = read(os.path.join(self.release(module, identity), "manifest.sha256")) or b""
        env = read(self.of(module, "env", f"{identity}.env")) or b""
        return {"manifest": text.decode(), "env": base64.b64encode(env).decode()}

    def do_daemon(self, command: str | None, limit: float) -> dict[str, Any]:
        """See to it that the daemon knows the workspace of now."""
        if command and not self.dagster.runs():
            code, said = self.client.run(["/bin/sh", "-c", command], limit=120, cwd=self.base)
            if code:
                raise RefusedError("daemon", f"{command!r} failed on the host: {tail(said)}")
            return {"restarted": True}
        until = time.monotonic() + limit
        while time.monotonic() < until:
            self.client.check()
            time.sleep(0.2)
        return {"restarted": False}

    def do_remove(self, module: str, log: dict[str, Any]) -> dict[str, Any]:
        """Remove what a module has here, after Dagster has let it go."""
        self.forget()
        self.log(module, {**log, "result": "removed"})
        with contextlib.suppress(OSError), open(os.path.join(self.modules, "removed.jsonl"), "ab") as file:
            file.write(json.dumps({"at": now(), "module": module, **log}).encode() + b"\n")
        gone = os.path.join(self.modules, f".journal.{module}.gone")
        remove_tree(gone)
        if os.path.isdir(self.of(module)):
            os.rename(self.of(module), gone)
            remove_tree(gone)
        return {}

    def do_unlock(self) -> dict[str, Any]:
        """End the conversation that holds the lock, which undoes its work first."""
        held = self.holder()
        if not held:
            return {"held": None}
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(held["pid"]), signal.SIGTERM)
        for _ in range(int(UNDOING + SIGN_OF_LIFE) * 5):
            if self.holder() is None:
                return {"held": held}
            time.sleep(0.2)
            self.client.check()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(held["pid"]), signal.SIGKILL)
        return {"held": held}

    def do_write(self, path: str, text: str, mode: int) -> dict[str, Any]:
        """Write a file that is not there yet; say whether it was."""
        path = os.path.join(self.base, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            return {"made": False}
        write(path, base64.b64decode(text), mode)
        return {"made": True}

    # The loop

    def serve(self) -> None:
        """Answer requests until the client is done, or gone."""
        self.client.answer(hello=PROTOCOL, pid=os.getpid())
        try:
            for request in iter(self.client.inbox.get, None):
                self.client.answer(**self.respond(request))
        except GoneError:
            pass
        if self.switched:
            self.undo()
            self.reload_quietly()

    def respond(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out one request."""
        work = getattr(self, f"do_{request.pop('do')}")
        try:
            return {"ok": True, "result": work(**request)}
        except RefusedError as error:
            return {"ok": False, "code": error.code, "message": str(error), "details": error.details}
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            return {"ok": False, "code": "os", "message": f"{where}{error.strerror or error}", "details": {}}


def building(folder: str, python: str, *, has_uv: bool) -> list[list[str]]:
    """Return the commands that fill an environment."""
    own = os.path.join(folder, "bin", "python")
    files = ["-r", "requirements.txt", "-c", "constraints.txt"]
    if has_uv:
        return [
            ["uv", "venv", "--quiet", "--allow-existing", "--python", python, folder],
            ["uv", "pip", "install", "--quiet", "--python", own, *files],
        ]
    return [
        [python, "-m", "venv", folder],
        [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *files],
    ]


def complaint(found: dict[str, Any], name: str, code: str) -> str | None:
    """Say what is wrong with a location that has to be loaded from a folder; None when nothing is."""
    state = found.get(name)
    if state is None:
        return f"{name}: not in Dagster"
    if not state["loaded"]:
        return f"{name}: {tail(state['error'] or state['status'])}"
    if code and code not in state["metadata"].values():
        return f"{name}: still loaded from {state['metadata'].get('working_directory')}"
    return None


def tail(text: str) -> str:
    """Return the last lines of what a program said."""
    return "\n".join(text.strip().splitlines()[-25:])


def main() -> None:
    """Serve the client that started this process."""
    answers = os.fdopen(os.dup(1), "wb")
    # What a library prints must not end up between the answers.
    os.dup2(2, 1)
    client = Client(sys.stdin.buffer, answers)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda *_: client.leave())
    Conversation(client).serve()
    os._exit(0)


if __name__ == "__main__":
    main()

"""Code servers in containers: each start is a container of its own beside the one that serves, until that may go."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import random
import re
import socket
import time

from .client import tail
from .compose import inspected, project, tells_absence
from .errors import RefusedError
from .files import now, read, read_json, remove_tree, write
from .host import STATE
from .images import foreign, forget_image, kept_as
from .needed import Needed
from .outside import complaint_of, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

COMPOSE = "docker-compose.deploy.yml"
SERVICE = "code-server"
#: Where a server in a network of containers listens, and the ports of those in the host's own network.
PORT = 4000
PORTS = range(4100, 4300)
#: Seconds between two looks at what a server that may go is still needed for.
PAUSE = 5.0
#: Seconds until Dagster's daemon has read the workspace anew, and asks no server of before any more.
DAEMON_READS = 75.0
#: The file that says that a server has served, so that runs may depend on it.
SERVED = "served"
#: Variables of somebody's shell that belong to another project.
FOREIGN = ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES")


def folder_of(host: Host, module: str, *parts: str) -> str:
    """Return a path among a module's servers."""
    return host.of(module, "servers", *parts)


def servers_of(host: Host, module: str) -> list[str]:
    """Return the names of a module's servers."""
    folder = folder_of(host, module)
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def current_server(host: Host, module: str) -> str | None:
    """Return the name of the server that a module's state says."""
    server = read_json(host.of(module, STATE), {}).get("server") or {}
    name: str | None = server.get("name")
    return name


# A new one


def serve_release(
    host: Host,
    module: str,
    identity: str,
    name: str,
    image: str,
    env: str,
    package: str,
    surroundings: dict[str, Any],
    folder: str | None = None,
    limit: float = 180.0,
) -> dict[str, Any]:
    """Start a release's code server beside the old one; wait until it is healthy and its definitions load.

    Args:
        host: This one.
        module: Whose release it is.
        identity: The release.
        name: The container's name, and its project's; never used before.
        image: What it starts from.
        env: The text (Base64) of its settings.
        package: The module with its definitions.
        surroundings: Where Dagster is: a Docker ``network`` with its ``service`` and ``folder``, or this host, with
            its ``storage`` and ``dagster_home``.
        folder: Where the release lies, if not in its place.
        limit: Seconds until the server has to be healthy.
    """
    started = time.monotonic()
    server = prepare_server(host, module, identity, name, image, env, surroundings)
    try:
        start_server(host, server, folder or host.release(module, identity))
        load_definitions(host, server, package)
        await_health(host, server, started + limit)
    except RefusedError as error:
        # Where the host emulates the image's processor it starts all the same.
        reason = "\n".join(filter(None, [str(error), foreign(host, image)]))
        drop_server(host, module, name, patience=0)
        raise RefusedError(error.code, reason, **error.details) from None
    keep_image(host, module, server)
    told = {key: server[key] for key in ("name", "host", "port", "release", "image")}
    return {"server": told, "seconds": round(time.monotonic() - started, 3)}


def prepare_server(
    host: Host, module: str, identity: str, name: str, image: str, env: str, surroundings: dict[str, Any]
) -> dict[str, Any]:
    """Write down that a server is about to be started, so that whoever comes next can remove it."""
    folder = folder_of(host, module, name)
    os.makedirs(folder, mode=0o700)
    os.chmod(folder, 0o700)
    host.begun_servers.append((module, name))
    own, variables = surroundings_of(host, surroundings)
    settings = os.path.join(folder, "settings.env")
    write(settings, own + base64.b64decode(env), 0o600)
    variables = {**variables, "IMAGE": image, "SERVER": name, "SETTINGS": settings}
    place = (name, PORT) if surroundings.get("network") else ("127.0.0.1", int(variables["PORT"]))
    server = {
        "name": name, "module": module, "release": identity, "image": image, "folder": folder,
        "host": place[0], "port": place[1], "variables": variables, "since": now(),
    }  # fmt: skip
    write(os.path.join(folder, "server.json"), json.dumps(server, indent=2).encode(), 0o600)
    return server


def surroundings_of(host: Host, surroundings: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the settings that Dagster's own storage takes, and the variables of the compose file."""
    if surroundings.get("network"):
        return surroundings_in_network(host, surroundings)
    storage, home = surroundings["storage"], surroundings.get("dagster_home")
    with contextlib.suppress(OSError):  # Docker says what is wrong with a folder that is not there.
        if not os.path.isdir(storage):
            os.makedirs(storage)
            os.chmod(storage, 0o1777)  # noqa: S103 - as /tmp: whoever runs code stores in it
    owner = os.stat(home) if home and os.path.isdir(home) else None
    if owner and not owner.st_uid:
        found = f"{home} is root's, and a code server never runs as root: its runs could not report to that storage."
        raise RefusedError(
            "docker", f"{found} Have Dagster run as a user of its own, or keep its storage in a database."
        )
    user, group = (owner.st_uid, owner.st_gid) if owner else (os.geteuid(), os.getegid())
    return b"", {
        "RUN_AS": f"{user}:{group}" if user else "1000:1000",
        "PORT": str(free_port(host)["port"]),
        "STORAGE": storage,
        "DAGSTER_HOME": home or "/opt/dagster/home",
    }


def surroundings_in_network(host: Host, surroundings: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the same for a Dagster in containers, as its webserver's container has it."""
    folder = os.path.join(host.base, surroundings["folder"])
    service = surroundings["service"]
    asked = project(folder, "ps", "--quiet", service)
    running = host.client.ask(asked, code="docker", limit=60, cwd=folder)[1].split()[-1:]
    # What precedes the user keeps the line of a container without one.
    users = inspected(host, "container", "as {{.Config.User}}", running)
    if not users:
        raise RefusedError("docker", f"There is no container of {service!r} in {folder}: start Dagster there.")
    text = read(os.path.join(folder, ".env")) or b""
    return own_settings(text, read(os.path.join(folder, "dagster.yaml")) or b""), {
        "RUN_AS": users[0][2:].strip() or "1000:1000",
        "NETWORK": surroundings["network"],
        "DAGSTER": running[0],
    }


def own_settings(text: bytes, dagster_yaml: bytes) -> bytes:
    """Return the lines of Dagster's ``.env`` that its own storage takes; those of other modules stay where they are."""
    named = set(re.findall(rb"\benv:\s*['\"]?(\w+)", dagster_yaml))
    # A quote takes a value over several lines, in which other variables seem to stand.
    entry = rb"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")?[^\n]*"""
    found = re.finditer(entry, text, re.MULTILINE | re.DOTALL)
    return b"".join(one[0] + b"\n" for one in found if one[1] in named or one[1].startswith(b"DAGSTER_"))


def free_port(host: Host) -> dict[str, Any]:
    """Return a port of this host that no server has, running or not."""
    taken = set()
    for module in os.listdir(host.modules):
        for name in servers_of(host, module):
            taken.add(read_json(folder_of(host, module, name, "server.json"), {}).get("port"))
    # A server listens seconds after this, and gRPC lets two have one port: whoever else looks now, under another base
    # path, is not to find the same one.
    for port in random.sample(PORTS, len(PORTS)):
        if port not in taken and not answers(port):
            return {"port": port}
    raise RefusedError("docker", f"No port from {PORTS[0]} to {PORTS[-1]} is free on the host.")


def answers(port: int) -> bool:
    """Tell whether somebody has a port."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def start_server(host: Host, server: dict[str, Any], release: str) -> None:
    """Have Compose start a server."""
    clean = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    command = ["docker", "compose", "--project-name", server["name"], "--project-directory", server["folder"]]
    command += ["--file", os.path.join(release, COMPOSE), "up", "--detach", "--no-build", SERVICE]
    code, said = host.client.run(command, None, 300, cwd=server["folder"], env={**clean, **server["variables"]})
    if code:
        raise RefusedError("docker", f"The code server of {server['module']} does not start:\n{tail(said)}")


def load_definitions(host: Host, server: dict[str, Any], package: str) -> None:
    """Load the definitions in a server's container; the server itself starts meanwhile."""
    command = ["docker", "exec", server["name"], "dagster", "definitions", "validate", "-m", package]
    code, said = host.client.run(command, limit=300)
    if not code:
        return
    refuse_stopped(host, server)
    raise RefusedError("definitions", f"The definitions of {server['module']} do not load:\n{tail(said)}")


def await_health(host: Host, server: dict[str, Any], until: float) -> None:
    """Wait until a server's own check says that it is healthy; Docker itself runs that late for the first time."""
    check = own_check(host, server)
    while True:
        health = refuse_stopped(host, server)
        # A check that fails in any way is a server that is not healthy yet.
        failed, said = host.client.run(check, limit=60) if check and health == "starting" else (1, "")
        if health in {"healthy", ""} or not failed:
            return
        if health == "unhealthy" or time.monotonic() > until:
            found = "\n".join(
                filter(None, [f"The code server of {server['module']} does not become healthy", tail(said)])
            )
            raise RefusedError("docker", f"{found}; its log ends with:\n{log_of(host, server)}")
        time.sleep(0.3)


def own_check(host: Host, server: dict[str, Any]) -> list[str]:
    """Return the command that checks a server as its image says; nothing where that says none."""
    found = inspected(host, "container", "{{with .Config.Healthcheck}}{{json .Test}}{{end}}", [server["name"]])
    kind, *command = json.loads(found[0]) if found else [""]
    shell = ["/bin/sh", "-c"] if kind == "CMD-SHELL" else []
    return ["docker", "exec", server["name"], *shell, *command] if command else []


def refuse_stopped(host: Host, server: dict[str, Any]) -> str:
    """Refuse a server that has ended, even if it was started again since; return what its check says."""
    shape = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}} {{with .State.Health}}{{.Status}}{{end}}"
    found = inspected(host, "container", shape, [server["name"]])
    status, restarts, exit_code, *health = found[0].split() if found else ["gone", "0", "unknown"]
    if status != "running" or restarts != "0":
        problem = f"The code server of {server['module']} does not start (it ended with code {exit_code})"
        raise RefusedError("docker", f"{problem}; its log ends with:\n{log_of(host, server)}")
    return health[0] if health else ""


def log_of(host: Host, server: dict[str, Any]) -> str:
    """Return the end of a server's log."""
    return tail(host.client.run(["docker", "logs", "--tail", "25", server["name"]], limit=60)[1])


def keep_image(host: Host, module: str, server: dict[str, Any]) -> None:
    """Give a release's image a tag, without which a clean-up of the host would take it."""
    command = ["docker", "tag", server["image"], kept_as(module, server["release"])]
    host.client.ask(command, code="docker", limit=60)


# Old ones


def drop_server(host: Host, module: str, name: str, patience: int = 10) -> bool:
    """Remove a server's container; what Docker does not remove now is removed by the next command.

    Args:
        host: This one.
        module: Whose server.
        name: Which.
        patience: Seconds until a server that does not end by itself is killed.
    """
    folder = folder_of(host, module, name)
    down = ["docker", "compose", "--project-name", name, "down", "--timeout", str(patience)]
    complaint_of(down, patience + 15)
    if not is_gone(name) and complaint_of(["docker", "rm", "--force", name]):
        return False
    server = read_json(os.path.join(folder, "server.json"), {})
    release = server.get("release", "")
    if release and not os.path.isdir(host.release(module, release)):
        forget_image(host, module, release, server.get("image"))
    remove_tree(folder)
    return True


def is_gone(name: str) -> bool:
    """Tell whether Docker says that there is no such container; no where it says nothing."""
    try:
        status, _, words = outcome(["docker", "container", "inspect", name], 60)
    except RefusedError:
        return False
    return tells_absence(status, words)


def drop_begun(host: Host) -> None:
    """Remove the servers that this conversation started, except those that serve now."""
    for module, name in host.begun_servers:
        if name != current_server(host, module) and not Needed(host).has_server(name):
            drop_server(host, module, name, patience=0)
    host.begun_servers.clear()


def drop_all(host: Host, module: str) -> None:
    """Remove every server and image of a module."""
    for name in servers_of(host, module):
        drop_server(host, module, name)
    folder = host.of(module, "releases")
    for identity in os.listdir(folder) if os.path.isdir(folder) else []:
        image = read_json(os.path.join(folder, identity, "RELEASE.json"), {}).get("image")
        if image:
            complaint_of(["docker", "image", "rm", kept_as(module, identity.partition(".")[0])])
            complaint_of(["docker", "image", "rm", image])


def let_serve(host: Host, module: str) -> None:
    """Note that a module's current server has begun to serve: from here on runs may depend on it."""
    host.begun_servers[:] = [one for one in host.begun_servers if one[0] != module]
    if (current := current_server(host, module)) and os.path.isdir(folder_of(host, module, current)):
        write(folder_of(host, module, current, SERVED), now().encode())


def retire_servers(host: Host, module: str, after: float) -> None:
    """Have every server but the current one stopped as soon as nobody needs it.

    Args:
        host: This one.
        module: Whose servers.
        after: Seconds until Dagster's daemon, which reads the workspace now and then, asks none of them any more.
    """
    current = current_server(host, module)
    for name in servers_of(host, module):
        if name != current:
            stop_later(host, module, name, after)


def mend_servers(host: Host) -> None:
    """Remove what a deployment that was cut off had started; go on waiting for those that may go."""
    for module in os.listdir(host.modules):
        current = current_server(host, module) if servers_of(host, module) else None
        for name in servers_of(host, module):
            if name != current and os.path.exists(folder_of(host, module, name, SERVED)):
                stop_later(host, module, name, DAEMON_READS)
            elif name != current and not Needed(host).has_server(name):
                drop_server(host, module, name, patience=0)
    drop_strays(host)


def drop_strays(host: Host) -> None:
    """Remove containers whose folder is gone: Docker may still have been making one when its client was killed."""
    if not any(os.path.isdir(folder_of(host, module)) for module in os.listdir(host.modules)):
        return
    shape = '{{.Names}}\t{{.Label "com.docker.compose.project.working_dir"}}'
    label = f"label=com.docker.compose.service={SERVICE}"
    try:
        status, said, _ = outcome(["docker", "ps", "--all", "--filter", label, "--format", shape], 60)
    except RefusedError:
        return
    # Where Docker fails, nothing is removed: the next command looks again.
    for line in [] if status else said.splitlines():
        name, _, folder = line.partition("\t")
        is_ours = folder.startswith(host.modules + os.sep) and not os.path.isdir(folder)
        if is_ours and not Needed(host).has_server(name):
            complaint_of(["docker", "rm", "--force", name])


def stop_later(host: Host, module: str, name: str, after: float) -> None:
    """Leave a process behind that stops a server when its runs have ended."""
    if child := os.fork():
        os.waitpid(child, 0)
        return
    # Nothing of the conversation may stay open in it: neither its channel nor its lock.
    try:
        os.setsid()
        if not os.fork():
            nowhere = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(nowhere, number)
            os.closerange(3, 1024)
            stop_when_idle(host, module, name, after)
    finally:
        os._exit(0)


def stop_when_idle(host: Host, module: str, name: str, after: float) -> None:
    """Stop a server when no run is in progress in it; unless another process waits for that already."""
    folder = folder_of(host, module, name)
    with open(os.path.join(folder, "waiting"), "ab") as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(after)
        while os.path.isdir(folder) and (is_needed(host, name) or not drop_server(host, module, name)):
            time.sleep(PAUSE)


def is_needed(host: Host, name: str) -> bool:
    """Tell whether a run is in progress in a server; yes where nobody knows."""
    try:
        return any(name in run["code"].split() for run in host.dagster.runs())
    except RefusedError:
        return True

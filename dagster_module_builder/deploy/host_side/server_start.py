"""A new code server: started beside the current one, and checked until it is healthy and its definitions load."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import socket
import time

from .client import tail
from .compose import inspected, project
from .definitions import ENDED, complaint, validate_in
from .errors import RefusedError
from .files import now, read, read_json, write
from .images import foreign, kept_as
from .server_end import drop_server
from .servers import SERVICE, folder_of, servers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host

COMPOSE = "docker-compose.deploy.yml"
#: The port of a server in a Docker network, and the ports for servers in the host's own network.
PORT = 4000
PORTS = range(4100, 4300)
#: What an engine says if it cannot run a program in a container, and the most seconds until it knows that it ended.
EXEC_FAILED, NOTICED = "OCI runtime exec failed", 3.0
#: Variables of a user's shell that belong to another project.
FOREIGN = ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES")


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
        host: This host.
        module: The module.
        identity: The release.
        name: The name of the container and of its Compose project; never used before.
        image: The image to start.
        env: The text (Base64) of its settings.
        package: The Python module that holds its definitions.
        surroundings: Where Dagster runs: a Docker ``network`` with its ``service`` and ``folder``; or this host, with
            its ``storage`` and ``dagster_home``.
        folder: The release's folder, if it is not the usual one.
        limit: Seconds until the server must be healthy.
    """
    started = time.monotonic()
    server = prepare_server(host, module, identity, name, image, env, surroundings)
    try:
        start_server(host, server, folder or host.release(module, identity))
        load_definitions(host, server, package)
        await_health(host, server, started + limit)
    except RefusedError as error:
        # A host that emulates the image's processor starts it anyway, so this is only checked after a failure.
        reason = "\n".join(filter(None, [str(error), foreign(host, image)]))
        drop_server(host, module, name, patience=0)
        raise RefusedError(error.code, reason, **error.details) from None
    keep_image(host, module, server)
    shown = {key: server[key] for key in ("name", "host", "port", "release", "image")}
    return {"server": shown, "seconds": round(time.monotonic() - started, 3)}


def prepare_server(
    host: Host, module: str, identity: str, name: str, image: str, env: str, surroundings: dict[str, Any]
) -> dict[str, Any]:
    """Write down that a server is about to be started, so that the next command can remove it; return its record."""
    folder = folder_of(host, module, name)
    os.makedirs(folder, mode=0o700)
    os.chmod(folder, 0o700)
    host.begun_servers.append((module, name))
    own, variables = surroundings_of(host, surroundings)
    settings = os.path.join(folder, "settings.env")
    write(settings, own + base64.b64decode(env), 0o600)
    variables = {**variables, "IMAGE": image, "SERVER": name, "SETTINGS": settings}
    address = (name, PORT) if surroundings.get("network") else ("127.0.0.1", int(variables["PORT"]))
    server = {
        "name": name, "module": module, "release": identity, "image": image, "folder": folder,
        "host": address[0], "port": address[1], "variables": variables, "since": now(),
    }  # fmt: skip
    write(os.path.join(folder, "server.json"), json.dumps(server, indent=2).encode(), 0o600)
    return server


def surroundings_of(host: Host, surroundings: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the settings that Dagster's own storage needs, and the variables of the compose file."""
    if surroundings.get("network"):
        return surroundings_in_network(host, surroundings)
    storage, home = surroundings["storage"], surroundings.get("dagster_home")
    with contextlib.suppress(OSError):  # Docker reports what is wrong with a missing folder.
        if not os.path.isdir(storage):
            os.makedirs(storage)
            os.chmod(storage, 0o1777)  # noqa: S103 - as /tmp: all users whose code runs here store assets in it
    owner = os.stat(home) if home and os.path.isdir(home) else None
    if owner and not owner.st_uid:
        raise RefusedError(
            "docker",
            f"{home} belongs to root, but a code server never runs as root, so its runs could not report there. "
            f"Run Dagster as another user, or keep its storage in a database.",
        )
    user, group = (owner.st_uid, owner.st_gid) if owner else (os.geteuid(), os.getegid())
    return b"", {
        "RUN_AS": f"{user}:{group}" if user else "1000:1000",
        "PORT": str(free_port(host)["port"]),
        "STORAGE": storage,
        "DAGSTER_HOME": home or "/opt/dagster/home",
    }


def surroundings_in_network(host: Host, surroundings: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """Return the same for a Dagster in containers, from its webserver's container."""
    folder = os.path.join(host.base, surroundings["folder"])
    service = surroundings["service"]
    asked = project(folder, "ps", "--quiet", service)
    running = host.client.ask(asked, code="docker", limit=60, cwd=folder)[1].split()[-1:]
    # The prefix keeps the line of a container that has no user.
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
    """Return the lines of Dagster's ``.env`` that its own storage needs, without those of other modules."""
    named = set(re.findall(rb"\benv:\s*['\"]?(\w+)", dagster_yaml))
    # A quoted value may have several lines, and some may look like other variables.
    entry = rb"""^[ \t]*(?:export[ \t]+)?(\w+)[ \t]*=[ \t]*(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")?[^\n]*"""
    entries = re.finditer(entry, text, re.MULTILINE | re.DOTALL)
    return b"".join(line[0] + b"\n" for line in entries if line[1] in named or line[1].startswith(b"DAGSTER_"))


def free_port(host: Host) -> dict[str, Any]:
    """Return an unused port of this host that no server has, running or not."""
    taken = set()
    for module in os.listdir(host.modules):
        for name in servers_of(host, module):
            taken.add(read_json(folder_of(host, module, name, "server.json"), {}).get("port"))
    # A server listens seconds after this, and gRPC lets two servers share a port. The random order keeps a deployment
    # below another base path from choosing the same port in the meantime.
    for port in random.sample(PORTS, len(PORTS)):
        if port not in taken and not answers(port):
            return {"port": port}
    raise RefusedError("docker", f"No port from {PORTS[0]} to {PORTS[-1]} is free on the host.")


def answers(port: int) -> bool:
    """Tell whether a port is in use."""
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
    """Load the definitions in a server's container, while the server itself starts."""
    code, said = validate_in(host, server["name"], package)
    if not code:
        return
    if said != ENDED:
        # The engine may notice the end of a container a moment after the attempt to run something in it.
        until = time.monotonic() + (NOTICED if EXEC_FAILED in said else 0)
        refuse_stopped(host, server)
        while time.monotonic() < until:
            time.sleep(0.1)
            refuse_stopped(host, server)
    raise RefusedError("definitions", f"The definitions of {server['module']} do not load:\n{complaint(said)}")


def await_health(host: Host, server: dict[str, Any], until: float) -> None:
    """Wait until a server's health check succeeds; it is run here, since Docker waits before its first one."""
    check = own_check(host, server)
    while True:
        health = refuse_stopped(host, server)
        # Any failure of the check means that the server is not healthy yet.
        failed, said = host.client.run(check, limit=60) if check and health == "starting" else (1, "")
        if health in {"healthy", ""} or not failed:
            return
        if health == "unhealthy" or time.monotonic() > until:
            problem = "\n".join(
                filter(None, [f"The code server of {server['module']} does not become healthy", tail(said)])
            )
            raise RefusedError("docker", f"{problem}; its log ends with:\n{log_of(host, server)}")
        time.sleep(0.3)


def own_check(host: Host, server: dict[str, Any]) -> list[str]:
    """Return the command of a server's health check; empty if its image has none."""
    check = inspected(host, "container", "{{with .Config.Healthcheck}}{{json .Test}}{{end}}", [server["name"]])
    kind, *command = json.loads(check[0]) if check else [""]
    shell = ["/bin/sh", "-c"] if kind == "CMD-SHELL" else []
    return ["docker", "exec", server["name"], *shell, *command] if command else []


def refuse_stopped(host: Host, server: dict[str, Any]) -> str:
    """Refuse a server that has ended, even if it was restarted since; return its health: ``"starting"``."""
    shape = "{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}} {{with .State.Health}}{{.Status}}{{end}}"
    state = inspected(host, "container", shape, [server["name"]])
    status, restarts, exit_code, *health = state[0].split() if state else ["gone", "0", "unknown"]
    if status != "running" or restarts != "0":
        problem = f"The code server of {server['module']} does not start (it ended with code {exit_code})"
        raise RefusedError("docker", f"{problem}; its log ends with:\n{log_of(host, server)}")
    return health[0] if health else ""


def log_of(host: Host, server: dict[str, Any]) -> str:
    """Return the last lines of a server's log."""
    return tail(host.client.run(["docker", "logs", "--tail", "25", server["name"]], limit=60)[1])


def keep_image(host: Host, module: str, server: dict[str, Any]) -> None:
    """Give a release's image a tag, so that a clean-up of the host does not remove it."""
    command = ["docker", "tag", server["image"], kept_as(module, server["release"])]
    host.client.ask(command, code="docker", limit=60)

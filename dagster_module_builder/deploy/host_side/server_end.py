"""Old code servers: each is stopped as soon as no run is in progress in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from .compose import tells_absence
from .errors import RefusedError
from .files import now, read_json, remove_tree, write
from .images import forget_image, kept_as
from .needed import Needed
from .outside import complaint_of, outcome
from .servers import SERVICE, current_server, folder_of, servers_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .host import Host

#: Seconds between two checks whether an old server is still needed.
PAUSE = 5.0
#: Seconds until Dagster's daemon has read the workspace again, and does not use an old server for new runs.
RETIRE_AFTER = 75.0
#: The file that marks a server that was in use, so that runs may depend on it.
SERVED = "served"


def drop_server(host: Host, module: str, name: str, patience: int = 10) -> bool:
    """Remove a server's container; the next command tries again if Docker fails now.

    Args:
        host: This host.
        module: The module.
        name: The server's name.
        patience: Seconds until a server that does not end by itself is killed.

    Returns:
        Whether it is removed.
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
    """Tell whether Docker says that a container does not exist; False if Docker does not answer."""
    try:
        status, _, words = outcome(["docker", "container", "inspect", name], 60)
    except RefusedError:
        return False
    return tells_absence(status, words)


def drop_begun(host: Host) -> None:
    """Remove the servers that this conversation started, except those in use."""
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
    """Note that a module's current server is in use: from here on runs may depend on it."""
    host.begun_servers[:] = [server for server in host.begun_servers if server[0] != module]
    if (current := current_server(host, module)) and os.path.isdir(folder_of(host, module, current)):
        write(folder_of(host, module, current, SERVED), now().encode())


def retire_servers(host: Host, module: str, after: float) -> None:
    """Stop every server but the current one, in the background, as soon as no run needs it.

    Args:
        host: This host.
        module: The module.
        after: Seconds until Dagster's daemon has read the workspace again, and uses none of them for new runs.
    """
    current = current_server(host, module)
    for name in servers_of(host, module):
        if name != current:
            stop_later(host, module, name, after)


def settle_servers(host: Host) -> None:
    """Remove servers that an interrupted deployment started; go on stopping old ones in the background."""
    for module in os.listdir(host.modules):
        current = current_server(host, module) if servers_of(host, module) else None
        for name in servers_of(host, module):
            if name != current and os.path.exists(folder_of(host, module, name, SERVED)):
                stop_later(host, module, name, RETIRE_AFTER)
            elif name != current and not Needed(host).has_server(name):
                drop_server(host, module, name, patience=0)
    drop_strays(host)


def drop_strays(host: Host) -> None:
    """Remove containers whose folder is gone: Docker may have finished one after its client was killed."""
    if not any(os.path.isdir(folder_of(host, module)) for module in os.listdir(host.modules)):
        return
    shape = '{{.Names}}\t{{.Label "com.docker.compose.project.working_dir"}}'
    label = f"label=com.docker.compose.service={SERVICE}"
    try:
        status, said, _ = outcome(["docker", "ps", "--all", "--filter", label, "--format", shape], 60)
    except RefusedError:
        return
    # If Docker fails, nothing is removed: the next command looks again.
    for line in [] if status else said.splitlines():
        name, _, folder = line.partition("\t")
        is_ours = folder.startswith(host.modules + os.sep) and not os.path.isdir(folder)
        if is_ours and not Needed(host).has_server(name):
            complaint_of(["docker", "rm", "--force", name])


def stop_later(host: Host, module: str, name: str, after: float) -> None:
    """Start a background process that stops a server when its runs have ended."""
    if child := os.fork():
        os.waitpid(child, 0)
        return
    # It must not keep the conversation's channel or lock open.
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
    """Stop a server when no run is in progress in it, unless another process is waiting for that already."""
    folder = folder_of(host, module, name)
    with open(os.path.join(folder, "waiting"), "ab") as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        time.sleep(after)
        while os.path.isdir(folder) and (is_needed(host, name) or not drop_server(host, module, name)):
            time.sleep(PAUSE)


def is_needed(host: Host, name: str) -> bool:
    """Tell whether a run is in progress in a server; True if Dagster does not answer."""
    try:
        return any(name in run["code"].split() for run in host.dagster.runs())
    except RefusedError:
        return True

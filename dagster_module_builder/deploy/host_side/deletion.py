"""What a module has stored here, deleted: only what was dumped, and only while that dump is whole."""

from __future__ import annotations

from .client import tail
from .compose import volume_names
from .dumps import is_stored, is_whole
from .errors import RefusedError
from .programs import run_where

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .host import Host


def delete(
    host: Host,
    location: str,
    storage: str | None,
    dump: dict[str, Any],
    service: dict[str, Any] | None = None,
    where: dict[str, Any] | None = None,
) -> list[str]:
    """Delete what a module has stored, after it was dumped; return what was deleted.

    What is deleted already is passed over, so that a deletion that was cut off can be said again.

    Args:
        host: This one.
        location: Its name in Dagster, and of its folder in the storage.
        storage: The folder of everybody's stored assets, where Dagster runs; None where that is no folder.
        dump: What was dumped, as the dump's answer names it.
        service: Its database's: ``folder`` of the Compose project, and ``volumes``; its container is gone already.
        where: Where Dagster runs.
    """
    if not is_whole(dump):
        raise RefusedError("dump", f"The dump in {dump['folder']} is not whole any more: nothing was deleted.")
    gone = []
    for volume in volume_names(host, **service) if service else []:
        code, said = host.client.run(["docker", "volume", "rm", volume], limit=60)
        if code:
            raise RefusedError("docker", f"The volume {volume} could not be deleted: {tail(said)}")
        gone.append(f"the volume {volume}")
    if storage and is_stored(host, where, host.modules, storage, location):
        code, said = run_where(host, where, ["rm", "-rf", "--", f"{storage}/{location}"], host.modules, 600, {})
        if code:
            raise RefusedError("data", f"{storage}/{location} could not be deleted: {tail(said)}")
        gone.append(f"{storage}/{location}")
    return gone

"""Deletes a module's data: only what was dumped, and only while that dump is complete."""

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
    """Delete a module's data, which was dumped before; return what was deleted, for the user.

    Data that is gone already is skipped, so an interrupted deletion can be repeated.

    Args:
        host: This host.
        location: The module's name in Dagster, which is also the name of its folder in the storage.
        storage: The folder that holds the assets of all modules, as Dagster sees it; None if it is not a folder.
        dump: The dump, as ``dumps.dump`` returned it.
        service: The database's ``folder`` of the Compose project, and its ``volumes``; its container is gone already.
        where: How to get to where Dagster runs; None for this host.
    """
    if not is_whole(dump):
        raise RefusedError(
            "dump", f"The dump in {dump['folder']} is incomplete or was changed: nothing was deleted. Make a new one."
        )
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

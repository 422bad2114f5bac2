"""Schedules and sensors of code locations: what people set in Dagster stays the same over a change of the code.

Dagster keeps the state of a schedule by location, repository and name, so a new release finds it by itself. Here are
the rest: those that were renamed, those that are new, and holding all of them during a change.
"""

from __future__ import annotations

import contextlib
import json
import os
import time

from .errors import RefusedError
from .files import read_json, sync, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .host import Host

#: The file with the former state of what is held; it is there until everything is as before.
HELD = ".held.json"
#: Seconds that a location may take to load before its schedules are given back, and that an answer may take.
LOADING, ANSWERING = 15.0, 20.0

QUERY = """query($name: String!) { workspaceLocationEntryOrError(name: $name) { __typename
  ... on WorkspaceLocationEntry { locationOrLoadError { __typename
    ... on RepositoryLocation { repositories { name
      schedules { id name cronSchedule executionTimezone pipelineName canReset
        assetSelection { assetSelectionString } scheduleState { status %s } }
      sensors { id name sensorType minIntervalSeconds canReset targets { pipelineName }
        assetSelection { assetSelectionString } sensorState { status } } } } } } } }"""
TICK = "nextTick { timestamp }"
MUTATION = "mutation(%s) { %s(%s) { __typename ... on PythonError { message } ... on UnauthorizedError { message } } }"


def look(host: Host, location: str, *, ticks: bool = False) -> list[dict[str, Any]] | None:
    """Return a location's schedules and sensors; None if this host's Dagster does not tell.

    Args:
        host: This host.
        location: The location's name.
        ticks: Ask for the next tick of each schedule, too.

    Returns:
        A record for each: ``kind``, ``repository``, ``location``, ``name``, ``id``; ``running``; ``explicit``: whether
        a person set that; ``signature``: what it starts and when, by which a renamed one is known; ``next``.
    """
    try:
        answer = host.dagster.ask(QUERY % (TICK if ticks else ""), {"name": location}, limit=ANSWERING)
    except RefusedError:
        return None
    if "workspaceLocationEntryOrError" not in answer:
        return None
    entry = answer["workspaceLocationEntryOrError"]
    if entry is None:
        return []
    repositories = (entry.get("locationOrLoadError") or {}).get("repositories")
    if repositories is None:
        return None
    return [
        {"repository": repository["name"], "location": location, **record}
        for repository in repositories
        for record in [*map(schedule, repository["schedules"]), *map(sensor, repository["sensors"])]
    ]


def schedule(found: dict[str, Any]) -> dict[str, Any]:
    """Return a schedule's record."""
    job = "" if found["pipelineName"].startswith("__") else found["pipelineName"]
    signature = [found["cronSchedule"], found.get("executionTimezone"), job, selection(found)]
    tick = found["scheduleState"].get("nextTick") or {}
    state = {"running": found["scheduleState"]["status"] == "RUNNING", "explicit": found["canReset"]}
    # Two that differ in nothing but their name cannot be told apart, and one without a target not at all.
    known = signature if job or selection(found) else None
    return {"kind": "schedule", **state, "name": found["name"], "id": found["id"], "signature": known,
            "next": tick.get("timestamp")}  # fmt: skip


def sensor(found: dict[str, Any]) -> dict[str, Any]:
    """Return a sensor's record."""
    jobs = sorted(target["pipelineName"] for target in found.get("targets") or [])
    signature = [found["sensorType"], found["minIntervalSeconds"], jobs, selection(found)]
    state = {"running": found["sensorState"]["status"] == "RUNNING", "explicit": found["canReset"]}
    known = signature if jobs or selection(found) else None
    return {"kind": "sensor", **state, "name": found["name"], "id": found["id"], "signature": known, "next": None}


def selection(found: dict[str, Any]) -> str:
    """Return the assets that a schedule or a sensor is for, as Dagster writes them."""
    return (found.get("assetSelection") or {}).get("assetSelectionString") or ""


def key(record: dict[str, Any]) -> tuple[str, ...]:
    """Return what identifies a schedule or a sensor in Dagster."""
    return tuple(record[part] for part in ("location", "repository", "kind", "name"))


def compared(
    before: Iterable[dict[str, Any]], after: Iterable[dict[str, Any]]
) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Return what is new, each with the one that it was before, if it was only renamed.

    That is so if exactly one is gone and exactly one is new that start the same at the same times.
    """
    old, new = ({key(record): record for record in records} for records in (before, after))
    gone = [record for name, record in old.items() if name not in new]
    added = [record for name, record in new.items() if name not in old]

    def alike(record: dict[str, Any], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
        same = ("location", "repository", "kind", "signature")
        return [other for other in others if all(record[part] == other[part] for part in same)]

    pairs = []
    for record in added:
        earlier = alike(record, gone) if record["signature"] else []
        is_only = len(earlier) == 1 and len(alike(record, added)) == 1
        pairs.append((record, earlier[0] if is_only else None))
    return pairs


def give(host: Host, record: dict[str, Any], *, running: bool, explicit: bool) -> None:
    """Give a schedule or a sensor a state, unless it has it.

    Args:
        host: This host.
        record: What it is now.
        running: Whether it should run.
        explicit: Whether a person said so; else it follows the code.
    """
    if not explicit:
        if record["explicit"]:
            mutate(host, record, "reset")
    elif running != record["running"]:
        mutate(host, record, "start" if running else "stop")


def mutate(host: Host, record: dict[str, Any], what: str) -> None:
    """Start, stop or reset a schedule or a sensor."""
    kind = record["kind"].capitalize()
    if what == "stop":
        name = "stopRunningSchedule" if kind == "Schedule" else "stopSensor"
        query, variables = MUTATION % ("$id: String!", name, "id: $id"), {"id": record["id"]}
    else:
        argument = f"{record['kind']}Selector"
        selector = {"repositoryName": record["repository"], "repositoryLocationName": record["location"]}
        query = MUTATION % (f"$selector: {kind}Selector!", f"{what}{kind}", f"{argument}: $selector")
        variables = {"selector": {**selector, f"{record['kind']}Name": record["name"]}}
    for answer in host.dagster.ask(query, variables, limit=ANSWERING).values():
        if answer["__typename"].endswith("Error"):
            message = answer.get("message") or answer["__typename"]
            raise RefusedError("dagster", f"Dagster did not {what} {record['kind']} {record['name']}: {message}")


def hold(host: Host, locations: list[str]) -> dict[str, Any]:
    """Stop what runs of these locations' schedules and sensors, until ``resume``; return their names."""
    if host.lock is None:
        raise RefusedError("locked", "The lock is not held.")
    running = []
    for location in locations:
        found = look(host, location, ticks=True)
        if found is None:
            raise RefusedError(
                "dagster", f"Dagster does not tell the schedules and sensors of {location}: deploy without --pause."
            )
        running += [record for record in found if record["running"]]
    names = {key(record) for record in running}
    note(host, [*running, *(record for record in held(host) if key(record) not in names)])
    for record in running:
        mutate(host, record, "stop")
    return {"held": [f"{record['kind']} {record['name']}" for record in running]}


def held(host: Host) -> list[dict[str, Any]]:
    """Return the former states of what is held."""
    records: list[dict[str, Any]] = read_json(os.path.join(host.modules, HELD), [])
    return records


def note(host: Host, records: list[dict[str, Any]]) -> None:
    """Write down the former states of what is held, safely on the disk."""
    path = os.path.join(host.modules, HELD)
    if records:
        write(path, json.dumps(records).encode(), host.private_mode)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync(host.modules)


def resume(host: Host, renamed: dict[tuple[str, ...], tuple[str, ...]] | None = None) -> list[str]:
    """Give what is held its former state; return the schedules that missed a tick, as sentences.

    What Dagster does not have now, such as a schedule that a new release lacks, waits for a release that has it again.

    Args:
        host: This host.
        renamed: The new name of what was renamed.

    Raises:
        RefusedError: Dagster does not answer, or refuses; the next command tries again.
    """
    records, missed = held(host), []
    present: dict[tuple[str, ...], dict[str, Any]] = {}
    for location in sorted({record["location"] for record in records}):
        present.update({key(record): record for record in await_location(host, location)})
    left = []
    for record in records:
        now = present.get((renamed or {}).get(key(record), key(record)))
        if now is None:
            left.append(record)
            continue
        give(host, now, running=record["running"], explicit=record["explicit"])
        if record["next"] and record["next"] <= time.time():
            when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record["next"]))
            missed.append(f"The tick of {record['name']} at {when} was left out, since it was paused.")
    if records:
        note(host, left)
    return missed


def await_location(host: Host, location: str) -> list[dict[str, Any]]:
    """Return a location's schedules and sensors, once it is loaded."""
    until = time.monotonic() + LOADING
    while True:
        found = look(host, location)
        if found is not None:
            return found
        if time.monotonic() > until:
            raise RefusedError(
                "dagster",
                f"The schedules and sensors of {location} are still paused, since Dagster does not tell them. The next "
                f"command starts them again.",
            )
        time.sleep(0.3)


def resume_quietly(host: Host) -> list[str]:
    """Give what is held its former state; return what was missed, and why it failed, for the user."""
    try:
        return resume(host)
    except (RefusedError, OSError) as error:
        return [str(error)]


def remember(host: Host, locations: Iterable[str]) -> None:
    """Note the schedules and sensors of locations before a change."""
    former = {key(record): record for record in held(host)}
    for location in locations:
        found = look(host, location)
        if found is not None:
            host.automation[location] = [{**record, **_state(former.get(key(record)))} for record in found]


def _state(record: dict[str, Any] | None) -> dict[str, Any]:
    return {} if record is None else {"running": record["running"], "explicit": record["explicit"]}


def settle(host: Host) -> dict[str, Any]:
    """After a change, give what was renamed the state that it had, and what is held its former state.

    Returns:
        ``renamed``: each with its former name and its state; ``stopped``: what is new and does not run; ``missed``:
        sentences on ticks that were left out.
    """
    renamed, stopped, names = [], [], {}
    for location, before in host.automation.items():
        for record, earlier in compared(before, look(host, location) or []):
            shown = {part: record[part] for part in ("kind", "name", "location")}
            if earlier is None:
                stopped += [] if record["running"] else [shown]
                continue
            give(host, record, running=earlier["running"], explicit=earlier["explicit"])
            names[key(earlier)] = key(record)
            runs = earlier["running"] if earlier["explicit"] else record["running"]
            renamed.append({**shown, "was": earlier["name"], "running": runs})
    missed = resume(host, names)
    host.automation.clear()
    return {"renamed": renamed, "stopped": stopped, "missed": missed}

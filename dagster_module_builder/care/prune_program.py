"""Take what is old out of a Dagster instance's storage: a request as JSON, JSON lines on stdout.

``prune`` runs this file with the Python of an environment that has Dagster, here or in a container. It imports nothing
from this package, which that environment does not have.

What Dagster still reads stays: the latest event of each kind of each asset and partition, the latest result of each
check, the latest tick of each schedule and sensor, and with them the rows and the beginning and end of their runs.
Runs that have not ended stay, and so do those that such a run was made from, and those of a backfill that goes on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

#: Runs whose events are deleted together, and rows for each statement: SQLite takes 999 variables.
RUNS, ROWS = 20, 500
KNOWN = ("sqlite", "postgresql")
ENDED = ("SUCCESS", "FAILURE", "CANCELED")
#: States of a backfill that has ended (``dagster.BulkActionStatus``).
ENDED_BACKFILLS = ("COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED")
#: The tags by which a run says which one it repeats.
REPEATS = ("dagster/parent_run_id", "dagster/root_run_id")
#: What is kept of the events of a run whose outputs are still the latest: how it began and how it ended.
RUN_EVENTS = "PIPELINE_"


def main() -> int:
    """Carry out the request: ``before`` (seconds since 1970), ``dry_run``, ``home`` (the instance's folder or null)."""
    # A script's folder, or the working directory, is first in the import path: modules there must not hide others.
    del sys.path[0]
    request = json.loads(sys.argv[1])
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if request["home"]:
        os.environ["DAGSTER_HOME"] = request["home"]
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        with instance.run_storage.connect() as storage:
            if storage.dialect.name not in KNOWN:
                sys.exit(
                    f"Only {' and '.join(KNOWN)} can be pruned so far, and this instance has {storage.dialect.name}."
                )
        pruning = Pruning(instance, request["before"], dry_run=request["dry_run"])
        for done, total in pruning.runs():
            say(lines, progress=[done, total])
        pruning.ticks()
        pruning.evaluations()
        if not request["dry_run"]:
            pruning.give_back_space()
        say(lines, result=pruning.result())
    return 0


def say(lines: Any, **line: Any) -> None:
    """Print a line."""
    lines.write(json.dumps(line) + "\n")
    lines.flush()


class Pruning:
    """The removal of what is older than a moment from one instance."""

    def __init__(self, instance: Any, before: float, *, dry_run: bool) -> None:
        import sqlalchemy
        from dagster._core.storage.event_log import schema as events
        from dagster._core.storage.runs import schema as runs
        from dagster._core.storage.schedules import schema as schedules

        self.sql, self.instance, self.dry_run = sqlalchemy, instance, dry_run
        self.before = before
        # The columns have no time zone; Dagster writes UTC.
        self.moment = datetime.fromtimestamp(before, timezone.utc).replace(tzinfo=None)
        self.event_table, self.tag_table = events.SqlEventLogStorageTable, events.AssetEventTagsTable
        self.check_table = events.AssetCheckExecutionsTable
        self.run_table, self.run_tag_table, self.backfill_table = (
            runs.RunsTable,
            runs.RunTagsTable,
            runs.BulkActionsTable,
        )
        self.tick_table, self.evaluation_table = schedules.JobTickTable, schedules.AssetDaemonAssetEvaluationsTable
        self.count = dict.fromkeys(("runs", "runs_kept", "events", "checks", "ticks", "evaluations", "compute_logs"), 0)
        self.problems: list[str] = []
        self.size = self._size()

    # Runs and their events.

    def runs(self) -> Iterator[tuple[int, int]]:
        """Remove old runs, from the oldest; give how many of how many were looked at after each batch."""
        runs, done, last = self.run_table, 0, 0
        stay = self._needed_runs()
        # A run that began long ago may have ended just now; one that never began has no end.
        ended = self.sql.func.coalesce(runs.c.end_time, 0.0) < self.before
        old = [ended, runs.c.status.in_(ENDED), runs.c.create_timestamp < self.moment]
        with self._runs() as storage:
            total = storage.execute(self.sql.select(self.sql.func.count()).where(*old)).scalar_one()
        while True:
            asked = self.sql.select(runs.c.id, runs.c.run_id).where(*old, runs.c.id > last).order_by(runs.c.id)
            with self._runs() as storage:
                batch = storage.execute(asked.limit(RUNS)).fetchall()
            if not batch:
                return
            last = batch[-1][0]
            self._prune([run for _, run in batch if run not in stay])
            done += len(batch)
            yield done, total

    def _needed_runs(self) -> set[str]:
        """Return the runs that unfinished ones are made from, and those of a backfill that goes on."""
        runs, tags, backfills = self.run_table, self.run_tag_table, self.backfill_table
        living = self.sql.select(runs.c.run_id).where(runs.c.status.not_in(ENDED))
        repeated = self.sql.select(tags.c.value).where(tags.c.key.in_(REPEATS), tags.c.run_id.in_(living))
        goes_on = self.sql.select(backfills.c.key).where(backfills.c.status.not_in(ENDED_BACKFILLS))
        of_backfill = self.sql.select(tags.c.run_id).where(tags.c.key == "dagster/backfill", tags.c.value.in_(goes_on))
        with self._runs() as storage:
            return {row[0] for query in (repeated, of_backfill) for row in storage.execute(query)}

    def _prune(self, runs: list[str]) -> None:
        """Remove runs, their own rows last, so that what was left of one when this was cut off is found again."""
        if not runs:
            return
        with self._events() as storage:
            events, checks = self._latest_events(storage, runs), self._latest_checks(storage, runs)
            needed = {*(run for run, _ in events), *(run for run, _, _ in checks)}
            kept = {number for _, number in events} | {event for _, _, event in checks if event is not None}
            self._remove_events(storage, runs, needed, kept)
            self._remove_checks(storage, runs, {number for _, number, _ in checks})
        for run in runs:
            self._remove_files(run, needed=run in needed)
        gone = [run for run in runs if run not in needed]
        self.count["runs"] += len(gone)
        self.count["runs_kept"] += len(runs) - len(gone)
        if gone and not self.dry_run:
            self._free_slots(gone)
            with self._runs() as storage:
                storage.execute(self.run_tag_table.delete().where(self.run_tag_table.c.run_id.in_(gone)))
                storage.execute(self.run_table.delete().where(self.run_table.c.run_id.in_(gone)))

    def _free_slots(self, runs: Iterable[str]) -> None:
        """Free the places in pools that runs took which were killed."""
        events = self.instance.event_log_storage
        if events.supports_global_concurrency_limits:
            for run in runs:
                events.free_concurrency_slots_for_run(run)

    def _latest_events(self, storage: Any, runs: Collection[str]) -> list[tuple[str, int]]:
        """Return the latest events (run, id) of each kind, asset and partition."""
        one, later = self.event_table.alias("one"), self.event_table.alias("later")
        same = [
            later.c.asset_key == one.c.asset_key,
            later.c.dagster_event_type == one.c.dagster_event_type,
            later.c.id > one.c.id,
        ]
        found: list[tuple[str, int]] = []
        # Two queries, for each of which there is an index.
        for of_one, of_later in (
            (one.c.partition.is_(None), later.c.partition.is_(None)),
            (one.c.partition.is_not(None), later.c.partition == one.c.partition),
        ):
            exists = self.sql.select(self.sql.literal(1)).where(*same, of_later).exists()
            asked = self.sql.select(one.c.run_id, one.c.id).where(
                one.c.run_id.in_(runs), one.c.asset_key.is_not(None), of_one, ~exists
            )
            found += [(run, number) for run, number in storage.execute(asked)]
        return found

    def _latest_checks(self, storage: Any, runs: Collection[str]) -> list[tuple[str, int, int | None]]:
        """Return the latest rows of checks, and the latest with a result: run, id, and the id of the result's event."""
        one, later, none = self.check_table.alias("one"), self.check_table.alias("later"), self.sql.literal("")
        same = [
            later.c.asset_key == one.c.asset_key,
            later.c.check_name == one.c.check_name,
            self.sql.func.coalesce(later.c.partition, none) == self.sql.func.coalesce(one.c.partition, none),
            later.c.id > one.c.id,
        ]
        found: set[tuple[str, int, int | None]] = set()
        for of_one, of_later in (
            ([], []),
            ([one.c.execution_status != "PLANNED"], [later.c.execution_status != "PLANNED"]),
        ):
            exists = self.sql.select(self.sql.literal(1)).where(*same, *of_later).exists()
            asked = self.sql.select(one.c.run_id, one.c.id, one.c.evaluation_event_storage_id)
            found |= {tuple(row) for row in storage.execute(asked.where(one.c.run_id.in_(runs), *of_one, ~exists))}
        return sorted(found)

    def _remove_events(
        self, storage: Any, runs: Collection[str], needed: Collection[str], kept: Collection[int]
    ) -> None:
        table = self.event_table
        rows = storage.execute(
            self.sql.select(table.c.id, table.c.run_id, table.c.dagster_event_type).where(table.c.run_id.in_(runs))
        )
        old = [
            number
            for number, run, kind in rows
            if number not in kept and not (run in needed and (kind or "").startswith(RUN_EVENTS))
        ]
        self.count["events"] += len(old)
        if not self.dry_run:
            for part in parts(old):
                storage.execute(self.tag_table.delete().where(self.tag_table.c.event_id.in_(part)))
                storage.execute(table.delete().where(table.c.id.in_(part)))

    def _remove_checks(self, storage: Any, runs: Collection[str], kept: Collection[int]) -> None:
        table = self.check_table
        rows = storage.execute(self.sql.select(table.c.id).where(table.c.run_id.in_(runs)))
        self._remove(storage, table, [number for (number,) in rows if number not in kept], "checks")

    def _remove_files(self, run: str, *, needed: bool) -> None:
        """Remove a run's output, and with SQLite the file of its events; if it is needed, only the lines of its log."""
        shard = self._shard(run)
        if shard and shard.exists():
            self._prune_shard(run, shard, needed=needed)
        try:
            if not self.dry_run:
                self.instance.compute_log_manager.delete_logs(prefix=[run])
            self.count["compute_logs"] += 1
        except Exception as error:  # noqa: BLE001 - any storage of logs, by any author
            self.problems.append(f"The compute logs of run {run} stay: {type(error).__name__}: {error}")

    def _shard(self, run: str) -> Path | None:
        """Return the file that SQLite's event log has for each run; None with another storage."""
        path_of = getattr(self.instance.event_log_storage, "path_for_shard", None)
        return Path(path_of(run)) if path_of else None

    def _prune_shard(self, run: str, shard: Path, *, needed: bool) -> None:
        table = self.event_table
        kinds = table.c.dagster_event_type
        spoken = self.sql.or_(
            kinds.is_(None), self.sql.not_(self.sql.or_(kinds.like(f"{RUN_EVENTS}%"), kinds.like("ASSET_%")))
        )
        with self.instance.event_log_storage.run_connection(run) as storage:
            asked = self.sql.select(self.sql.func.count()).select_from(table)
            self.count["events"] += storage.execute(asked.where(spoken) if needed else asked).scalar_one()
            if needed and not self.dry_run:
                storage.execute(table.delete().where(spoken))
        if self.dry_run:
            return
        if needed:
            self._vacuum(lambda: self.instance.event_log_storage.run_connection(run))
            return
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{shard}{end}").unlink(missing_ok=True)

    # Schedules, sensors and automation.

    def ticks(self) -> None:
        """Remove old ticks but for the latest of each state of each schedule and sensor."""
        table = self.tick_table
        groups = (table.c.job_origin_id, table.c.selector_id, table.c.status)
        self._remove_old(table, groups, [table.c.timestamp < self.moment, table.c.status != "STARTED"], "ticks")

    def evaluations(self) -> None:
        """Remove old evaluations of automation conditions but for the latest of each asset."""
        table = self.evaluation_table
        self._remove_old(table, (table.c.asset_key,), [table.c.create_timestamp < self.moment], "evaluations")

    def _remove_old(self, table: Any, groups: Iterable[Any], old: list[Any], counted: str) -> None:
        with self._schedules() as storage:
            kept = {
                number
                for (number,) in storage.execute(self.sql.select(self.sql.func.max(table.c.id)).group_by(*groups))
            }
        last = 0
        while True:
            asked = self.sql.select(table.c.id).where(*old, table.c.id > last).order_by(table.c.id).limit(ROWS * 10)
            with self._schedules() as storage:
                numbers = [number for (number,) in storage.execute(asked)]
                if not numbers:
                    return
                last = numbers[-1]
                self._remove(storage, table, [number for number in numbers if number not in kept], counted)

    def _remove(self, storage: Any, table: Any, numbers: list[int], counted: str) -> None:
        self.count[counted] += len(numbers)
        if not self.dry_run:
            for part in parts(numbers):
                storage.execute(table.delete().where(table.c.id.in_(part)))

    # The databases.

    def _runs(self) -> Any:
        return self.instance.run_storage.connect()

    def _events(self) -> Any:
        return self.instance.event_log_storage.index_connection()

    def _schedules(self) -> Any:
        return self.instance.schedule_storage.connect()

    def give_back_space(self) -> None:
        """Have PostgreSQL use the space again, and SQLite give it back to the system."""
        for connect in (self._runs, self._events, self._schedules):
            self._vacuum(connect)

    def _vacuum(self, connect: Any) -> None:
        with connect() as storage:
            engine, is_sqlite = storage.engine, storage.dialect.name == "sqlite"
            tables = [name for name in self._tables() if self.sql.inspect(storage).has_table(name)]
        lines = ["VACUUM"] if is_sqlite else [f"VACUUM (ANALYZE) {table}" for table in tables]
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as storage:
                for line in lines:
                    storage.execute(self.sql.text(line))
        except self.sql.exc.SQLAlchemyError as error:
            self.problems.append(f"Space is given back another time: {str(error).splitlines()[0]}")

    def _tables(self) -> list[str]:
        tables = (self.event_table, self.tag_table, self.check_table, self.run_table, self.run_tag_table)
        return [table.name for table in (*tables, self.tick_table, self.evaluation_table)]

    def _size(self) -> int:
        """Return the bytes of the databases."""
        asked = self.sql.text("SELECT pg_database_size(current_database())")
        total, seen = 0, set()
        for connect in (self._runs, self._events, self._schedules):
            with connect() as storage:
                where = str(storage.engine.url)
                if where in seen:
                    continue
                seen.add(where)
                if storage.dialect.name == "sqlite":
                    total += size_of(Path(storage.engine.url.database))
                else:
                    total += storage.execute(asked).scalar_one()
        return total

    def result(self) -> dict[str, Any]:
        """Return what was removed, or would be, and the size before and after."""
        return {**self.count, "bytes_before": self.size, "bytes_after": self._size(), "problems": self.problems}


def size_of(database: Path) -> int:
    """Return the bytes of a SQLite file; with Dagster's event log those of all files beside it, one for each run."""
    files = database.parent.glob("*.db*") if database.name == "index.db" else database.parent.glob(f"{database.name}*")
    size = 0
    for file in files:
        with suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def parts(numbers: list[int]) -> Iterator[list[int]]:
    """Give the numbers in parts that a statement takes."""
    for start in range(0, len(numbers), ROWS):
        yield numbers[start : start + ROWS]


if __name__ == "__main__":
    sys.exit(main())

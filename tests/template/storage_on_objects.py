"""Run by the tests in the modules' environment: stores and loads on a server. Argument: a module's package."""

import importlib
import os
import sys
import tempfile
import threading
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from upath import UPath

storage = importlib.import_module(f"{sys.argv[1]}.storage")
resources = {"io_manager": storage.ModuleStorage()}
days = dg.StaticPartitionsDefinition(["2026-01-01", "../b", "c/d"])
received: dict[str, Any] = {}
place = UPath(storage.storage_root())


@dg.asset(key_prefix="here", partitions_def=days)
def made(context: dg.AssetExecutionContext) -> pd.DataFrame:
    return pd.DataFrame({"day": [context.partition_key], "filler": ["x" * 1000]})


@dg.asset(ins={"made": dg.AssetIn(key_prefix="here")})
def used(made: dict[str, pd.DataFrame]) -> int:
    received.update({key: list(frame["day"]) for key, frame in made.items()})
    return len(made)


def main() -> None:
    place.fs.mkdir("bucket")
    with dg.DagsterInstance.ephemeral() as instance:
        for key in days.get_partition_keys():
            dg.materialize([made], resources=resources, instance=instance, partition_key=key)
        result = dg.materialize([made, used], resources=resources, instance=instance, selection=[used])
    assert received == {key: [key] for key in days.get_partition_keys()}, received
    (event,) = result.get_asset_materialization_events()
    path = event.materialization.metadata["path"].value
    assert path == str(place / "used.data"), path

    missing()
    frames()
    concurrent_writers()
    upstream()
    print(sorted(place.fs.find("bucket")))  # noqa: T201  # what the test reads


def missing() -> None:
    """A missing object names its asset."""

    @dg.asset
    def away() -> int:
        return 1

    @dg.asset
    def wants(away: int) -> None: ...

    with pytest.raises(storage.OutputMissingError, match="Materialize away first"):
        dg.materialize([away, wants], resources=resources, selection=[wants])


def frames() -> None:
    """Columns are read alone, lazy frames are written and scanned, and what is refused leaves nothing."""
    orders = pl.DataFrame({"city": ["Oslo", "Rome"], "amount": [1.5, None]})
    seen: list[Any] = []

    @dg.asset
    def lazy(columns: pd.DataFrame) -> pl.LazyFrame:
        seen.append(list(columns.columns))
        return orders.lazy()

    @dg.asset
    def scanned(lazy: pl.LazyFrame) -> None:
        seen.append(lazy.filter(pl.col("amount") > 1).select("city").collect().to_dicts())

    # The method itself has parameters, which Dagster would take for inputs.
    made = dg.asset(name="columns")(lambda: orders.to_pandas())  # noqa: PLW0108
    needs = dg.AssetIn(metadata={"columns": ["amount"]})
    used = dg.asset(ins={"columns": needs})(lazy.op.compute_fn.decorated_fn)
    dg.materialize([made, used, scanned], resources=resources)
    assert seen == [["amount"], [{"city": "Oslo"}]], seen

    refused = dg.asset(name="refused")(lambda: pd.DataFrame({"a": [{1, 2}]}))
    with pytest.raises(storage.StorageError, match="column a holds set"):
        dg.materialize([refused], resources=resources)


def concurrent_writers() -> None:
    """Many writers of one output leave one of their values, whole."""

    def write(number: int) -> None:
        dg.materialize([dg.asset(name="shared")(lambda: [number] * 100_000)], resources=resources)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen: list[Any] = []

    @dg.asset
    def reader(shared: list[int]) -> None:
        seen.append(shared)

    source = dg.asset(name="shared")(lambda: None)
    dg.materialize([source, reader], resources=resources, selection=[reader])
    assert len(seen[0]) == 100_000, len(seen[0])
    assert len(set(seen[0])) == 1


def upstream() -> None:
    """What a folder lacks is read from the objects, of which none is changed."""
    before = place.fs.find("bucket", detail=True)
    received.clear()
    with tempfile.TemporaryDirectory() as folder:
        os.environ[storage.UPSTREAM_VARIABLE] = os.environ[storage.STORAGE_VARIABLE]
        os.environ[storage.STORAGE_VARIABLE] = folder
        with dg.DagsterInstance.ephemeral() as instance:
            dg.materialize([made, used], resources=resources, instance=instance, selection=[used])
        assert os.listdir(folder) == ["used.data"]  # noqa: PTH208  # It is text here.
    assert set(received) == set(days.get_partition_keys()), received
    place.fs.invalidate_cache()
    assert place.fs.find("bucket", detail=True) == before


main()

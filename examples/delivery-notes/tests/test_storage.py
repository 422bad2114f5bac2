import errno
import os
import pickle
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dagster as dg
import pandas as pd
import polars as pl
import pytest
from upath import UPath

from delivery_notes_dagster import storage

NUMBERS = pd.DataFrame({"number": [1, 2, 3]})


def run(*assets: dg.AssetsDefinition, instance: dg.DagsterInstance | None = None, **options: Any) -> Any:
    return dg.materialize(assets, resources={"io_manager": storage.ModuleStorage()}, instance=instance, **options)


def stored(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("value", [NUMBERS, {"a": [1, 2]}, None, "text", NUMBERS["number"]])
def test_a_value_comes_back_as_it_was(value: Any):
    received = []

    @dg.asset
    def made() -> Any:
        return value

    @dg.asset
    def used(made: Any) -> None:
        received.append(made)

    run(made, used)

    expected = value.to_dict() if hasattr(value, "to_dict") else value
    assert [item.to_dict() if hasattr(item, "to_dict") else item for item in received] == [expected]


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (NUMBERS, pd.DataFrame | None),
        (NUMBERS, pl.DataFrame),
        (pl.DataFrame({"number": [1, 2, 3]}), pd.DataFrame),
        (pl.LazyFrame({"number": [1, 2, 3]}), pl.LazyFrame),
    ],
)
def test_a_frame_comes_as_the_input_is_annotated(frame: Any, wanted: Any):
    received = []

    @dg.asset
    def made() -> Any:
        return frame

    def used(made: Any) -> None:
        received.append(made)

    used.__annotations__["made"] = wanted
    run(made, dg.asset(used))

    assert isinstance(received[0], wanted)
    columns = received[0].lazy().collect() if isinstance(received[0], pl.LazyFrame) else received[0]
    assert list(columns["number"]) == [1, 2, 3]


def loaded(value: Any, wanted: Any = Any, columns: list[Any] | None = None) -> Any:
    """Return what an asset gets of a value of another."""
    received = []

    @dg.asset
    def made() -> Any:
        return value

    def used(made: Any) -> None:
        received.append(made.collect().lazy() if isinstance(made, pl.LazyFrame) else made)

    used.__annotations__["made"] = wanted
    run(made, dg.asset(used, ins={"made": dg.AssetIn(metadata={"columns": columns})} if columns else None))
    return received[0]


ODD = {
    "mixed types": pd.DataFrame({"a": [1, "x", None, 2.5]}),
    "names twice": pd.DataFrame([[1, "x"]], columns=["a", "a"]),
    "numbers as names": pd.DataFrame([[1, 2]]),
    "mappings": pd.DataFrame({"a": [{"x": 1}, {}], "b": [{}, {}]}),
    "lists": pd.DataFrame({"a": [[1, 2], []]}),
    "large integers": pd.DataFrame({"a": [2**100, None]}, dtype=object),
    "intervals": pd.DataFrame({"a": pd.cut(pd.Series([1, 2, 3]), 2)}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "complex numbers": pd.DataFrame({"a": [1 + 2j]}),
    "an index of two levels": pd.DataFrame({"a": [1, 1], "b": ["x", "y"], "c": [1, 2]}).set_index(["a", "b"]),
    "a frequency": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2026-01-01", periods=2)),
}


@pytest.mark.parametrize("name", ODD)
def test_a_frame_comes_back_equal(name: str):
    found = loaded(ODD[name])

    pd.testing.assert_frame_equal(found, ODD[name], check_exact=True)
    assert [*map(type, found.iloc[:, 0])] == [*map(type, ODD[name].iloc[:, 0])]


def test_the_attributes_of_a_frame_are_stored():
    frame = pd.DataFrame({"a": [1]})
    frame.attrs = {"source": "a.csv"}

    assert loaded(frame).attrs == {"source": "a.csv"}


def test_a_frame_of_polars_comes_back_as_one():
    frame = pl.DataFrame({"number": [1, None], "text": ["x", None]})

    assert loaded(frame).equals(frame)
    found = loaded(frame.lazy())
    assert isinstance(found, (pl.LazyFrame, pl.DataFrame))  # Polars before 1.30 does not say that it was lazy.
    assert found.lazy().collect().equals(frame)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (pd.DataFrame({"a": [{1, 2}]}), "column a holds set, which Parquet would change. Convert it"),
        (pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}), "column a has the type Object.* Cast it"),
        (lambda: 1, "type function cannot be stored.* Return data instead"),
    ],
)
def test_what_would_not_come_back_is_refused_once(value: Any, message: str, storage_dir: Path):
    made = dg.asset(name="made", retry_policy=dg.RetryPolicy(max_retries=1))(lambda: value)
    with pytest.raises(storage.StorageError, match=message):
        run(made)

    result = run(made, raise_on_error=False)
    assert "STEP_UP_FOR_RETRY" not in [event.event_type_value for event in result.all_events]
    assert stored(storage_dir) == set()


@pytest.mark.parametrize(
    "frame", [pd.DataFrame({"a": [1], "b": ["x"], "c": [2.5]}), pl.DataFrame({"a": [1], "b": ["x"], "c": [2]})]
)
@pytest.mark.parametrize("wanted", [Any, pd.DataFrame, pl.DataFrame, pl.LazyFrame])
def test_an_input_can_name_the_columns_that_it_needs(frame: Any, wanted: Any):
    found = loaded(frame, wanted, ["b", "a"])

    assert [*(found.collect() if isinstance(found, pl.LazyFrame) else found).columns] == ["b", "a"]
    with pytest.raises(storage.StorageError, match="No column d is stored; choose from a, b, c"):
        loaded(frame, wanted, ["d"])


@pytest.mark.parametrize("name", ["killed", "of an earlier version"])
def test_the_next_write_removes_what_a_killed_one_left(storage_dir: Path, name: str):
    run(one)
    left, age = {
        "killed": (storage_dir / f".{'0' * 32}.writing", 60),
        "of an earlier version": (storage_dir / f".{'0' * 32}.tmp", 100_000),
    }[name]
    kept = storage_dir / ".of-a-person.tmp"
    for file in (left, kept):
        file.write_text("half")
        os.utime(file, (time.time() - age,) * 2)

    run(one)

    assert stored(storage_dir) == {"one.data", ".of-a-person.tmp"}


def test_a_write_does_not_remove_what_another_is_writing(storage_dir: Path):
    storage_dir.mkdir()
    with storage.replacement(UPath(storage_dir / "other.data")) as written:
        written.write_text("half")
        os.utime(written, (time.time() - 60,) * 2)
        run(one)
        written.write_text("whole")

    assert (storage_dir / "other.data").read_text() == "whole"


def test_what_a_kind_of_object_storage_needs_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(storage.STORAGE_VARIABLE, "az://container/folder")
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(storage.StorageError, match="needs adlfs. Add it to the dependencies"):
        storage.ModuleStorage().create_io_manager(dg.build_init_resource_context())


def test_size_rows_and_path_are_reported(storage_dir: Path):
    @dg.asset(key_prefix="group")
    def made() -> pd.DataFrame:
        return NUMBERS

    (event,) = run(made).get_asset_materialization_events()

    path = storage_dir / "group" / "made.data"
    reported = {key: item.value for key, item in event.materialization.metadata.items()}
    assert reported == {"path": str(path), "size_bytes": path.stat().st_size, "dagster/row_count": 3}


def test_a_value_of_another_type_takes_the_old_one_s_place(storage_dir: Path):
    run(dg.asset(name="made")(lambda: NUMBERS))
    run(dg.asset(name="made")(lambda: {"now": "a mapping"}))

    assert stored(storage_dir) == {"made.data"}


def test_partitions_are_stored_apart_and_loaded_together(storage_dir: Path):
    keys = ["2026-01-01", "../outside", "a/b", ".", "ü b"]
    parts = dg.StaticPartitionsDefinition(keys)
    received: dict[str, str] = {}

    @dg.asset(partitions_def=parts)
    def made(context: dg.AssetExecutionContext) -> str:
        return context.partition_key

    @dg.asset
    def used(made: dict[str, str]) -> None:
        received.update(made)

    with dg.DagsterInstance.ephemeral() as instance:
        for key in keys:
            run(made, instance=instance, partition_key=key)
        run(made, used, instance=instance, selection=[used])

    assert received == {key: key for key in keys}
    assert len(stored(storage_dir / "made")) == len(keys)


def test_multi_partitions_with_slashes_stay_apart():
    dimensions = {"day": ["1", "1/2"], "place": ["2/3", "3"]}
    of_each = {name: dg.StaticPartitionsDefinition(keys) for name, keys in dimensions.items()}
    parts = dg.MultiPartitionsDefinition(of_each)
    received = []

    @dg.asset(partitions_def=parts)
    def made(context: dg.AssetExecutionContext) -> str:
        return context.partition_key

    @dg.asset(partitions_def=parts)
    def used(context: dg.AssetExecutionContext, made: str) -> None:
        received.append(made == context.partition_key)

    with dg.DagsterInstance.ephemeral() as instance:
        for step in (made, used):
            for key in parts.get_partition_keys():
                run(made, used, instance=instance, partition_key=key, selection=[step])

    assert received == [True] * 4


@pytest.mark.parametrize("key", ["../x", "a/b", ".", "..", ".hidden", "50%", "ü", "a b:c", "%2E", "a.b"])
def test_escaping_is_reversible_and_stays_in_one_folder(key: str):
    assert unquote(storage.escaped(key)) == key
    assert not storage.escaped(key).startswith(".")
    assert "/" not in storage.escaped(key)


def test_a_missing_value_names_the_asset_to_materialize():
    @dg.asset(key_prefix="group")
    def made() -> int:
        return 1

    @dg.asset(ins={"made": dg.AssetIn(key_prefix="group")})
    def used(made: int) -> None: ...

    with pytest.raises(storage.OutputMissingError, match="Materialize group/made first"):
        run(made, used, selection=[used])


def test_what_is_not_stored_here_is_read_upstream_and_nothing_is_written_there(
    storage_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    parts = dg.StaticPartitionsDefinition(["a/b", ".."])
    received: list[Any] = []

    @dg.asset(key_prefix="group")
    def made() -> pd.DataFrame:
        return NUMBERS

    @dg.asset(partitions_def=parts)
    def each(context: dg.AssetExecutionContext) -> str:
        return context.partition_key

    @dg.asset(ins={"made": dg.AssetIn(key_prefix="group")})
    def used(made: pd.DataFrame, each: dict[str, str]) -> int:
        received.append((len(made), each))
        return len(made)

    with dg.DagsterInstance.ephemeral() as instance:
        run(made, instance=instance)
        for key in parts.get_partition_keys():
            run(each, instance=instance, partition_key=key)
        production = storage_dir.rename(storage_dir.with_name("production"))
        before = {path: path.read_bytes() for path in production.rglob("*") if path.is_file()}
        monkeypatch.setenv(storage.UPSTREAM_VARIABLE, str(production))
        run(made, each, used, instance=instance, selection=[used])
        monkeypatch.setattr(sys.modules[__name__], "NUMBERS", NUMBERS[:1])
        run(made, instance=instance)
        run(made, each, used, instance=instance, selection=[used])

    assert received == [(3, {"a/b": "a/b", "..": ".."}), (1, {"a/b": "a/b", "..": ".."})]
    assert {path: path.read_bytes() for path in production.rglob("*") if path.is_file()} == before
    assert stored(storage_dir) == {"group/made.data", "used.data"}
    with pytest.raises(storage.OutputMissingError, match="has no stored value at .*/other/"):
        dg.materialize(
            [made, each, used],
            resources={"io_manager": storage.ModuleStorage(base_path=str(storage_dir / "other"))},
            selection=[used],
        )


@pytest.mark.parametrize(("number", "retries"), [(errno.ECONNRESET, 1), (errno.ENOSPC, 0), (errno.ENOENT, 0)])
def test_a_failed_write_is_retried_only_if_that_can_help(monkeypatch: pytest.MonkeyPatch, number: int, retries: int):
    def fails(obj: Any, file: Path) -> dict[str, int]:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage.values, "write", fails)
    made = dg.asset(name="made", retry_policy=dg.RetryPolicy(max_retries=1))(lambda: 1)

    result = run(made, raise_on_error=False)

    assert [event.event_type_value for event in result.all_events].count("STEP_UP_FOR_RETRY") == retries


def test_a_failed_write_leaves_the_old_value_alone(storage_dir: Path):
    class Unpicklable:
        def __reduce__(self) -> str:
            raise ValueError("cannot be pickled")

    run(dg.asset(name="made")(lambda: "old"))
    before = (storage_dir / "made.data").read_bytes()
    with pytest.raises(storage.StorageError, match="type Unpicklable cannot be stored: cannot be pickled. Return data"):
        run(dg.asset(name="made")(lambda: Unpicklable()))

    assert (storage_dir / "made.data").read_bytes() == before
    assert stored(storage_dir) == {"made.data"}


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_writers_at_once_leave_one_of_their_values_whole(
    storage_dir: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
):
    monkeypatch.setenv("DAGSTER_STORAGE_DIR", f"{scheme}{storage_dir}")
    values = [str(number) * 1_000_000 for number in range(4)]

    with ThreadPoolExecutor(len(values)) as threads:
        list(threads.map(lambda value: run(dg.asset(name="made")(lambda: value)), values))

    assert pickle.loads((storage_dir / "made.data").read_bytes()) in values
    assert stored(storage_dir) == {"made.data"}


def test_a_storage_that_cannot_be_written_is_named(storage_dir: Path):
    storage_dir.write_text("a file where the folder should be")

    with pytest.raises(storage.StorageError, match="DAGSTER_STORAGE_DIR"):
        run(dg.asset(name="made")(lambda: 1))


@pytest.fixture
def default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default folder, with one stored number."""
    folder = tmp_path / "default"
    monkeypatch.delenv(storage.STORAGE_VARIABLE)
    monkeypatch.setattr(storage, "DEFAULT_STORAGE", str(folder))
    run(one)
    return folder


@dg.asset
def one() -> int:
    return 1


@dg.asset
def wants_one(one: int) -> None: ...


@dg.asset
def wants_frame(one: pd.DataFrame) -> None: ...


def given_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a path another user's."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)


def test_the_default_folder_is_this_user_s_alone(default: Path):
    assert default.stat().st_mode & 0o777 == 0o700
    default.chmod(0o755)
    run(one)
    assert default.stat().st_mode & 0o777 == 0o700
    run(one, wants_one, selection=[wants_one])


@pytest.mark.parametrize("part", ["folder", "file"])
def test_nothing_of_another_user_is_read_or_written(default: Path, monkeypatch: pytest.MonkeyPatch, part: str):
    given_away({"folder": default, "file": default / "one.data"}[part], monkeypatch)
    with pytest.raises(storage.StorageError, match=f"another user.* Set {storage.STORAGE_VARIABLE}"):
        run(one, wants_one, selection=[wants_one])
    if part == "folder":
        with pytest.raises(storage.StorageError, match="another user"):
            run(one)


def test_nothing_is_read_that_all_may_write_or_that_is_a_link(default: Path):
    file = default / "one.data"
    file.chmod(0o666)
    with pytest.raises(storage.StorageError, match="other users can write"):
        run(one, wants_one, selection=[wants_one])
    file.chmod(0o600)
    file.rename(default / "elsewhere")
    file.symlink_to(default / "elsewhere")
    with pytest.raises(storage.StorageError, match="another user"):
        run(one, wants_one, selection=[wants_one])


def test_a_folder_that_a_person_chose_is_not_judged(default: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(storage.STORAGE_VARIABLE, str(default.with_name("chosen")))
    run(one)
    default.with_name("chosen").chmod(0o777)
    run(one, wants_one, selection=[wants_one])


def test_a_pickle_is_never_read_where_a_frame_is_wanted():
    run(one)
    with pytest.raises(storage.StorageError, match="holds no data frame"):
        run(one, wants_frame, selection=[wants_frame])

"""Run by the tests in the modules' environment: frames come back equal from a module's storage, or are refused.

``MODULE_PACKAGE`` names the module's package, ``MAX_EXAMPLES`` says how many frames of each library are tried.
"""

from __future__ import annotations

import datetime as dt
import importlib
import os
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing.parametric import series
from upath import UPath

PACKAGE = os.environ["MODULE_PACKAGE"]
values = importlib.import_module(f"{PACKAGE}.stored.values")
RefusedError = importlib.import_module(f"{PACKAGE}.stored.errors").RefusedError

many = settings(
    max_examples=int(os.environ.get("MAX_EXAMPLES", "300")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def stored(value: Any, annotation: Any = Any, wanted: Any = None) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.data")
        values.write(value, path)
        found = values.read(UPath(path), annotation, wanted)
        return found.collect().lazy() if isinstance(found, pl.LazyFrame) else found


def same(frame: pd.DataFrame, other: pd.DataFrame) -> None:
    """Fail unless two frames are equal, down to the types of cells, the index's class and its frequency."""
    # It does not compare what is in lists and mappings; that is done below.
    are_objects = [dtype == object for dtype in frame.dtypes]
    columns = [position for position, is_object in enumerate(are_objects) if not is_object]
    pd.testing.assert_frame_equal(
        frame.iloc[:, columns], other.iloc[:, columns], check_exact=True, check_column_type="exact"
    )
    pd.testing.assert_index_equal(frame.columns, other.columns, exact=True)
    assert repr(frame.dtypes.tolist()) == repr(other.dtypes.tolist())
    assert repr(frame.attrs) == repr(other.attrs)
    assert type(frame.index) is type(other.index)
    assert [*map(kind, frame.columns)] == [*map(kind, other.columns)]
    assert [*map(kind, frame.index)] == [*map(kind, other.index)]
    for position in range(frame.shape[1]):
        ours, theirs = frame.iloc[:, position], other.iloc[:, position]
        assert [*map(kind, ours)] == [*map(kind, theirs)]


def kind(cell: Any) -> tuple[type, str]:
    return type(cell), repr(cell)


# Frames of pandas

WORDS = st.text(max_size=5)
PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(width=64)
STAMPS = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | WORDS
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
ODD = st.one_of(
    JSON,
    st.binary(max_size=4),
    st.dates(),
    st.times(),
    STAMPS,
    st.datetimes(timezones=st.just(dt.timezone.utc)),
    st.timedeltas(),
    st.decimals(allow_nan=True),
    STAMPS.map(pd.Timestamp),
    st.just(pd.NaT),
    st.just(pd.NA),
    st.tuples(st.integers(), WORDS),
    st.sets(st.integers(), max_size=2),
    st.lists(st.integers(0, 9), max_size=3).map(np.array),
    st.integers(0, 9).map(np.int64),
    st.complex_numbers(),
    st.dictionaries(st.integers(), st.integers(), max_size=2),
)
OBJECTS = [
    WORDS | st.none(), WORDS | st.just(np.nan), st.binary(max_size=3), JSON, st.integers() | st.none(), st.booleans() | st.none(),
    st.lists(st.integers(0, 9), max_size=3), st.dictionaries(st.sampled_from("ab"), st.integers(), max_size=2), st.just({}),
    st.lists(FLOATS, max_size=2).map(np.array), st.decimals(allow_nan=False, places=2), st.dates(), st.times(), STAMPS, ODD,
    st.none(), FLOATS | st.none(), st.lists(st.lists(PLAIN_TEXT | st.none(), max_size=2), max_size=2),
]  # fmt: skip
NUMPY = {
    "bool": st.booleans(),
    **{name: st.integers(np.iinfo(name).min, np.iinfo(name).max) for name in ("int8", "int16", "int32", "int64", "uint8", "uint64")},
    "float16": st.floats(width=16), "float32": st.floats(width=32), "float64": FLOATS,
    "complex64": st.complex_numbers(width=64), "complex128": st.complex_numbers(),
    **{f"datetime64[{unit}]": STAMPS.map(np.datetime64) | st.just(np.datetime64("NaT")) for unit in ("s", "ms", "us", "ns")},
    **{f"timedelta64[{unit}]": st.integers(-(10**9), 10**9).map(lambda n: np.timedelta64(n, "s")) for unit in ("s", "ms", "us", "ns")},
}  # fmt: skip
MISSING = st.just(pd.NA)
EXTENSIONS: dict[Any, st.SearchStrategy[Any]] = {
    "Int64": INTS | MISSING, "UInt8": st.integers(0, 255) | MISSING, "Float64": FLOATS | MISSING, "Float32": st.floats(width=32) | MISSING,
    "boolean": st.booleans() | MISSING, "string[python]": PLAIN_TEXT | MISSING, "string[pyarrow]": PLAIN_TEXT | MISSING,
    "datetime64[ns, Europe/Berlin]": STAMPS.map(pd.Timestamp) | st.just(pd.NaT),
    "datetime64[s, UTC]": STAMPS.map(lambda stamp: pd.Timestamp(stamp.replace(microsecond=0))),
    "datetime64[us, UTC+01:30]": STAMPS.map(pd.Timestamp),
    "period[M]": STAMPS.map(lambda stamp: pd.Period(stamp, "M")), "period[D]": STAMPS.map(lambda stamp: pd.Period(stamp, "D")) | st.just(pd.NaT),
    "Sparse[int64, 0]": st.integers(0, 3), "Sparse[float64, nan]": st.sampled_from([np.nan, 1.5]),
    "interval[int64, right]": st.integers(0, 9).map(lambda n: pd.Interval(n, n + 1)),
    "interval[float64, both]": st.integers(0, 9).map(lambda n: pd.Interval(float(n), n + 1.5, closed="both")),
    pd.ArrowDtype(pa.int32()): st.integers(0, 9) | st.none(), pd.ArrowDtype(pa.string()): PLAIN_TEXT | st.none(),
    pd.ArrowDtype(pa.list_(pa.int64())): st.lists(st.integers(0, 9), max_size=2) | st.none(),
    pd.ArrowDtype(pa.decimal128(10, 2)): st.integers(0, 10**6).map(lambda n: Decimal(n) / 100),
    pd.ArrowDtype(pa.timestamp("s")): STAMPS.map(lambda stamp: stamp.replace(microsecond=0)),
}  # fmt: skip


@st.composite
def categories(draw: st.DrawFn, size: int) -> Any:
    kinds = [st.integers(0, 9), PLAIN_TEXT, FLOATS.filter(lambda n: n == n), st.integers(0, 9).map(lambda n: pd.Interval(n, n + 1)),
             STAMPS.map(pd.Timestamp), st.booleans(), st.integers() | WORDS]  # fmt: skip
    names = draw(st.lists(draw(st.sampled_from(kinds)), max_size=4, unique=True))
    codes = draw(st.lists(st.integers(-1, len(names) - 1), min_size=size, max_size=size))
    return pd.Categorical.from_codes(codes, categories=names, ordered=draw(st.booleans()))


@st.composite
def columns(draw: st.DrawFn, size: int) -> Any:
    def cells(strategy: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(strategy, min_size=size, max_size=size))

    form = draw(st.sampled_from(["numpy", "object", "extension", "category"]))
    if form == "numpy":
        dtype = draw(st.sampled_from([*NUMPY]))
        with np.errstate(all="ignore"):
            return np.array(cells(NUMPY[dtype])).astype(dtype) if size else np.array([], dtype)
    if form == "object":
        return pd.Series(cells(draw(st.sampled_from(OBJECTS))), dtype=object).array
    if form == "category":
        return draw(categories(size))
    dtype = draw(st.sampled_from([*EXTENSIONS]))
    return pd.Series(cells(EXTENSIONS[dtype])).astype(dtype).array if size else pd.Series([], dtype=dtype).array


NAMES = st.none() | PLAIN_TEXT | st.integers(0, 9) | st.sampled_from(["index", "__index_level_0__", "a.b", "0"])


@st.composite
def indexes(draw: st.DrawFn, size: int) -> pd.Index:
    form = draw(st.sampled_from(["default", "range", "dates", "column", "multi"]))
    if form == "default":
        return pd.RangeIndex(size)
    if form == "range":
        start, step = draw(st.integers(-9, 9)), draw(st.sampled_from([-2, 1, 3]))
        return pd.RangeIndex(start, start + step * size, step, name=draw(NAMES))
    if form == "dates":
        zone = draw(st.sampled_from([None, "UTC", "Europe/Berlin"]))
        return pd.date_range(
            "2026-01-01", periods=size, freq=draw(st.sampled_from(["D", "h", "B", "ME"])), tz=zone, name=draw(NAMES)
        )
    if form == "column":
        return pd.Index(draw(columns(size)), name=draw(NAMES))
    return pd.MultiIndex.from_arrays([draw(columns(size)), draw(columns(size))], names=[draw(NAMES), draw(NAMES)])


@st.composite
def labels(draw: st.DrawFn, size: int) -> Any:
    form = draw(st.sampled_from(["text", "text", "text", "any", "index"]))
    if form == "index":
        return draw(indexes(size))
    strategy = (
        WORDS | st.sampled_from(["a.b", "a", "__index_level_0__", "x" * 300]) if form == "text" else SCALARS | STAMPS
    )
    return pd.Index(draw(st.lists(strategy, min_size=size, max_size=size, unique=form == "text")), name=draw(NAMES))


@st.composite
def pandas_frames(draw: st.DrawFn) -> pd.DataFrame:
    rows, width = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    try:
        index, names = draw(indexes(rows)), draw(labels(width))
        frame = pd.DataFrame({position: draw(columns(rows)) for position in range(width)}, index=pd.RangeIndex(rows))
        frame = frame.set_axis(index, axis="index").set_axis(names, axis="columns")
    except (
        TypeError,
        ValueError,
        OverflowError,
        NotImplementedError,
        pa.ArrowException,
    ):  # What pandas itself does not hold.
        frame = pd.DataFrame()
    frame.attrs = draw(st.just({}) | st.dictionaries(WORDS, JSON, max_size=2) | st.just({"when": dt.date(2026, 1, 1)}))
    return frame


@many
@given(pandas_frames())
def test_a_pandas_frame_comes_back_equal_or_is_refused(frame: pd.DataFrame):
    before = frame.copy(deep=True)
    before.attrs = dict(frame.attrs)
    try:
        found = stored(frame)
    except RefusedError as error:
        assert "return it inside another value" in str(error)
        return
    same(before, found)
    same(before, frame)


# Frames of Polars

DTYPES = [
    pl.Boolean, pl.Int8, pl.Int64, pl.UInt64, pl.Float32, pl.Float64, pl.String, pl.Binary, pl.Date, pl.Time, pl.Null,
    pl.Categorical, pl.Enum(["b", "a"]), pl.Decimal(20, 3), pl.Datetime("ms"), pl.Datetime("us", "Europe/Berlin"), pl.Datetime("ns"),
    pl.Duration("ms"), pl.Duration("ns"), pl.List(pl.Int64), pl.List(pl.List(pl.String)), pl.Array(pl.Int64, 2), pl.Object,
    pl.Struct({"x": pl.Int64, "y": pl.String}), pl.Struct([]),
]  # fmt: skip

if tuple(map(int, pl.__version__.split(".")[:2])) >= (1, 30):  # Earlier ones cannot generate it.
    DTYPES.append(pl.Int128)


@st.composite
def polars_frames(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(0, 4))
    names = draw(st.lists(PLAIN_TEXT | st.sampled_from(["a.b", "a"]), max_size=3, unique=True))
    found = []
    for name in names:
        dtype = draw(st.sampled_from(DTYPES))
        if dtype == pl.Object:
            found.append(pl.Series(name, [object()] * rows, dtype=dtype))
        else:
            found.append(draw(series(name=name, dtype=dtype, min_size=rows, max_size=rows, allow_null=True)))
    return pl.DataFrame(found)


@many
@given(polars_frames(), st.booleans())
def test_a_polars_frame_comes_back_equal_or_is_refused(frame: pl.DataFrame, lazy: bool):
    try:
        found = stored(frame.lazy() if lazy else frame, pl.LazyFrame if lazy else Any)
    except RefusedError as error:
        assert "Cast it" in str(error)
        return
    assert isinstance(found, pl.LazyFrame if lazy else pl.DataFrame)
    found = found.lazy().collect()
    assert found.schema == frame.schema
    assert repr(frame.rows()) == repr(found.rows())


# What has to be kept, not refused

KEPT = {
    "mixed": pd.DataFrame({"a": [1, "x", None, 2.5, True]}),
    "duplicates": pd.DataFrame([[1, "x"], [2, "y"]], columns=["a", "a"]),
    "intervals": pd.DataFrame({"a": pd.cut(pd.Series([1, 2, 3]), 2), "b": pd.interval_range(0, 3)}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "complex": pd.DataFrame({"a": [1 + 2j, complex("nan")]}),
    "large integers": pd.DataFrame({"a": [2**100, -(2**70), None]}, dtype=object),
    "attributes": pd.DataFrame({"a": [1]}),
    "mappings": pd.DataFrame({"a": [{"x": 1}, {"y": [2]}]}),
    "empty mappings": pd.DataFrame({"a": [{}, {}]}),
    "lists": pd.DataFrame({"a": [[1, 2], []], "b": [np.array([1.5]), np.array([2.5])]}),
    "numbers as names": pd.DataFrame(np.eye(2)),
    "dates as names": pd.DataFrame(np.eye(2), columns=pd.date_range("2026-01-01", periods=2)),
    "levels": pd.DataFrame({"a": [1, 1], "b": ["x", "y"], "c": [1.5, 2.5]}).set_index(["a", "b"]),
    "levels of names": pd.DataFrame({"a": [1, 1], "b": [1.5, 2.5]}).groupby("a").agg({"b": ["min", "max"]}),
    "a frequency": pd.DataFrame({"a": [1, 2]}, index=pd.date_range("2026-01-01", periods=2)),
    "categories": pd.DataFrame({"a": pd.Categorical([3, 1], categories=[3, 2, 1], ordered=True)}),
    "no columns": pd.DataFrame(index=[1, 2]),
    "seconds": pd.DataFrame({"a": np.array(["2026-01-01"], "datetime64[s]")}),
    "points": pd.DataFrame({"a.b": [1], "a": ["x"], "a.b.c": [2]}),
}
KEPT["attributes"].attrs = {"source": "a.csv", "rows": [1, 2]}


@pytest.mark.parametrize("name", KEPT)
def test_it_is_kept(name: str):
    same(KEPT[name], stored(KEPT[name]))


def test_many_rows_are_kept_with_their_gaps():
    random = np.random.default_rng(0)
    rows = 300_000
    frame = pd.DataFrame(
        {
            "float": random.random(rows),
            "gaps": np.where(random.random(rows) < 0.1, np.nan, random.random(rows)),
            "few": random.integers(0, 9, rows),
            "time": np.datetime64("2026-01-01", "ns") + random.integers(0, 10**15, rows),
            "flag": random.random(rows) < 0.5,
            "text": random.choice(["one", "two", None], rows),
            "category": pd.Categorical(random.choice(["x", "y"], rows), categories=["z", "y", "x"]),
            "nullable": pd.array(random.integers(0, 9, rows)).astype("Int64"),
        }
    )
    same(frame, stored(frame))
    same(frame[["gaps", "text"]], stored(frame, wanted=["gaps", "text"]))
    found = stored(frame, pl.DataFrame)
    assert found["gaps"].null_count() == frame["gaps"].isna().sum()
    assert found["few"].to_list() == frame["few"].tolist()


@pytest.mark.parametrize("name", KEPT)
def test_polars_gets_the_columns_of_a_pandas_frame_or_says_why_not(name: str):
    try:
        found = stored(KEPT[name], pl.DataFrame)
    except RefusedError as error:
        assert "Annotate the input as pd.DataFrame" in str(error)
    else:
        assert len(found) == len(KEPT[name]) or found.width == 0

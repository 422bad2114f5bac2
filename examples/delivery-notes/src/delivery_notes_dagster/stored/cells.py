"""Forms for columns that Parquet does not hold, or would change: each gives back the cells that it was given.

A form is taken only if it gives back equal values of the same types, which is tried. ``FORMS`` says in which order.
"""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import datetime, time
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import is_object_dtype

from . import parquet

#: What a trial raises if a form cannot hold a column.
UNFIT = (ValueError, TypeError, OverflowError, NotImplementedError, KeyError, AttributeError, RecursionError)


class Form(NamedTuple):
    """A form: ``pack`` makes a column of Parquet of pandas' column, ``unpack`` reverses it, given ``described``'s text."""

    pack: Callable[[pd.Series], pa.Array]
    unpack: Callable[[pa.ChunkedArray, str], Any]


def _as_json(column: pd.Series) -> pa.Array:
    return pa.array([json.dumps(cell) for cell in column], pa.string())


def _from_codes(stored: pa.ChunkedArray, description: str) -> pd.Categorical:
    note = json.loads(description)
    return pd.Categorical.from_codes(stored.to_numpy(), index_of(note["categories"]), ordered=note["ordered"])


def described(column: pd.Series) -> str:
    """Return what ``unpack`` has to know of a column."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return json.dumps({"categories": text_of(column.cat.categories), "ordered": bool(column.cat.ordered)})
    return str(column.dtype)


def text_of(index: pd.Index) -> str:
    """Return an index as text: a Parquet file in base64."""
    written = pa.BufferOutputStream()
    parquet.write(pa.Table.from_pandas(index.to_frame(index=False, name="0")), written)
    return base64.b64encode(written.getvalue()).decode()


def index_of(text: str) -> pd.Index:
    """Reverse ``text_of``."""
    frame = pq.read_table(pa.BufferReader(base64.b64decode(text))).to_pandas()
    index: pd.Index = pd.Index(frame["0"].array)
    return index


def _objects(cells: Sequence[Any]) -> pd.Series:
    return pd.Series(cells, dtype=object)


FORMS: dict[str, Form] = {
    # Text whose dtype pandas would replace.
    "text": Form(
        lambda column: pa.array(column, pa.string(), from_pandas=True),
        lambda stored, _: stored.to_numpy(zero_copy_only=False),
    ),
    # Lists, mappings, dates, decimals …
    "python": Form(lambda column: pa.array(column, from_pandas=True), lambda stored, _: _objects(stored.to_pylist())),
    # Arrays in cells.
    "numpy": Form(lambda column: pa.array(column, from_pandas=True), lambda stored, _: _objects(stored.to_numpy())),
    # Mixed types, large integers, empty mappings, mappings of different keys.
    "json": Form(_as_json, lambda stored, _: _objects([json.loads(cell) for cell in stored.to_pylist()])),
    "category": Form(lambda column: pa.array(column.cat.codes), _from_codes),
    "complex": Form(
        lambda column: pa.array(column.map(str), pa.string()),
        lambda stored, dtype: np.array([complex(cell) for cell in stored.to_pylist()], dtype),
    ),
    "sparse": Form(
        lambda column: pa.array(np.asarray(column), from_pandas=False),
        lambda stored, dtype: pd.array(stored.to_numpy(), dtype=dtype),
    ),
    "converted": Form(
        lambda column: pa.array(column, from_pandas=True), lambda stored, dtype: stored.to_pandas().astype(dtype)
    ),
}


def form_of(column: pd.Series) -> str | None:
    """Return the name of the first form that gives a column back equal, or None."""
    return next((name for name in _candidates(column) if _is_kept(FORMS[name], column)), None)


def _candidates(column: pd.Series) -> Sequence[str]:
    if is_object_dtype(column.dtype):
        return ["python", "numpy", "json"]
    if isinstance(column.dtype, pd.SparseDtype):
        return ["sparse"]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return ["category"]
    return ["complex"] if column.dtype.kind == "c" else ["converted"]


def _is_kept(form: Form, column: pd.Series) -> bool:
    try:
        stored = through_parquet(pa.table({"cells": form.pack(column)})).column(0)
        restored = pd.Series(form.unpack(stored, described(column)))
        return is_same(column, restored)
    except UNFIT:
        return False


def through_parquet(table: pa.Table) -> pa.Table:
    """Return a table as it comes back from Parquet."""
    written = pa.BufferOutputStream()
    parquet.write(table, written)
    return pq.read_table(pa.BufferReader(written.getvalue()))


def is_same(column: pd.Series, other: pd.Series) -> bool:
    """Return whether two columns have the same dtype, and equal cells of the same types."""
    if column.dtype != other.dtype or len(column) != len(other):
        return False
    if is_object_dtype(column.dtype):
        return all(map(_is_same_cell, column, other))
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories, others = column.cat.categories.to_series(), other.cat.categories.to_series()
        return is_same(categories, others) and np.array_equal(column.cat.codes, other.cat.codes)
    return bool(column.array.equals(other.array))


def _is_same_cell(cell: Any, other: Any) -> bool:
    if type(cell) is not type(other):
        return False
    if isinstance(cell, (list, tuple)):
        return len(cell) == len(other) and all(map(_is_same_cell, cell, other))
    if isinstance(cell, dict):
        return _is_same_cell([*cell.items()], [*other.items()])
    if isinstance(cell, np.ndarray):
        return cell.dtype == other.dtype and cell.shape == other.shape and _is_same_cell(cell.tolist(), other.tolist())
    if isinstance(cell, (datetime, time)):
        return cell == other and repr(cell) == repr(other)
    return cell is other or bool(cell == other) or (cell != cell and other != other)

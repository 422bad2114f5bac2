"""Stores pandas frames as Parquet, so that they come back equal, or refuses them.

What pandas itself brings through Parquet is stored as pandas does it, and readable by anything. The rest is stored in
another form (see ``cells``), or beside the table: attributes, and names of columns that are not text. Notes in the
file's metadata say how to reverse that.
"""

import base64
import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api.types import infer_dtype, is_object_dtype

from . import cells, parquet
from .errors import RefusedError

OTHERWISE = "or return it inside another value, as (frame,), which is stored as a pickle"

#: Kinds of NumPy's dtypes whose values are all values of Parquet.
EXACT_KINDS = "biufmM"

#: Names of such dtypes in pandas' notes; ``Int64`` and ``int64[pyarrow]`` are others.
NUMBER = re.compile(r"bool|u?int\d+|float\d+|(datetime|timedelta)64\[\w+\]")


def to_table(frame: pd.DataFrame) -> pa.Table:
    """Return a frame as a table, with notes that say how to give it back.

    Raises:
        RefusedError: The frame would not come back equal.
    """
    notes: dict[str, Any] = {"rows": len(frame), "attrs": _attributes(frame)}
    stored, notes["labels"] = _with_plain_labels(frame)
    stored, notes["index"] = _with_plain_index(stored)
    forms = {name: form for name in stored.columns if (form := _form(name, stored[name]))}
    notes["forms"] = {name: [form, cells.described(stored[name])] for name, form in forms.items()}
    natural = stored.drop(columns=[*forms]) if forms else stored
    table = pa.Table.from_pandas(natural, preserve_index=False, nthreads=1)
    packed = {name: cells.FORMS[form].pack(stored[name]) for name, form in forms.items()}
    columns = {name: packed[name] if name in packed else table.column(name) for name in stored.columns}
    return _with_notes(pa.table(columns), table.schema.metadata[b"pandas"], notes)


def read(file: pq.ParquetFile, notes: dict[str, Any], wanted: Sequence[Any] | None = None) -> pd.DataFrame:
    """Return a stored frame, or the wanted columns of it.

    Raises:
        RefusedError: A wanted column is not stored.
    """
    labels, names = _labels(file, notes)
    positions = range(len(names)) if wanted is None else _positions(labels, wanted)
    index = notes["index"]
    values = _values(file, notes, [*dict.fromkeys([*(names[position] for position in positions), *index["columns"]])])
    data = {number: values[names[position]] for number, position in enumerate(positions)}
    frame = pd.DataFrame(data, index=_row_index(index, values, notes["rows"]), copy=False)
    frame.columns = labels if wanted is None else labels.take([*positions])
    frame.attrs = notes["attrs"]
    return frame


def _with_notes(table: pa.Table, of_pandas: bytes, notes: dict[str, Any]) -> pa.Table:
    # Other readers find the index by pandas' own notes.
    own = {**json.loads(of_pandas), "index_columns": notes["index"]["columns"]}
    return table.replace_schema_metadata({b"pandas": json.dumps(own), parquet.NOTES: json.dumps(notes)})


def _attributes(frame: pd.DataFrame) -> dict[str, Any]:
    attributes: dict[Any, Any] = dict(frame.attrs)
    if not _is_plain(attributes):
        raise RefusedError(f"frame.attrs holds more than text, numbers, lists and mappings: clear it, {OTHERWISE}.")
    return attributes


def _is_plain(value: Any) -> bool:
    """Return whether JSON gives a value back equal, with the same types."""
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return value is None or type(value) in {str, int, float, bool}


# The form of columns


def _form(name: str, column: pd.Series) -> str | None:
    """Return the name of a column's form, None for pandas' own way.

    Raises:
        RefusedError: No form gives the column back equal.
    """
    if _is_natural(column):
        return None
    if is_object_dtype(column.dtype) and _is_text(column):
        return "text"
    if form := cells.form_of(column):
        return form
    types = sorted({type(cell).__name__ for cell in column}) if is_object_dtype(column.dtype) else [str(column.dtype)]
    cure = f"Convert it, for example by .astype(str), {OTHERWISE}"
    raise RefusedError(f"The column {name} holds {', '.join(types)}, which Parquet would change. {cure}.")


def _is_natural(column: pd.Series) -> bool:
    """Return whether a column comes back equal in pandas' own way."""
    dtype = column.dtype
    if is_object_dtype(dtype):
        return _is_text(column) and _comes_back(pd.Series(["text", None], dtype=dtype))
    if isinstance(dtype, np.dtype):
        return dtype.kind in EXACT_KINDS and dtype.itemsize <= 8
    is_exact = isinstance(dtype, (pd.StringDtype, pd.DatetimeTZDtype)) or hasattr(column.array, "_mask")
    return _comes_back(column.iloc[:0] if is_exact else column)


def _is_text(column: pd.Series) -> bool:
    """Return whether cells are text or None, all of which UTF-8 can hold."""
    if infer_dtype(column, skipna=True) != "string":
        return False
    if any(cell is not None for cell in column[column.isna()]):
        return False
    try:
        pa.array(column, pa.large_string(), from_pandas=True)
    except cells.UNFIT:
        return False
    return True


def _comes_back(column: pd.Series) -> bool:
    try:
        table = pa.Table.from_pandas(column.to_frame("cells"), preserve_index=False)
        return cells.is_same(column, cells.through_parquet(table).to_pandas()["cells"])
    except cells.UNFIT:
        return False


# Labels and indexes


def _with_plain_labels(frame: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
    """Return a frame whose columns have unique text as names, and a note of their names if those are others."""
    labels = frame.columns
    if _are_natural(labels):
        return frame, None
    note = _note(labels, "The columns' names")
    if "range" not in note:
        note["levels"] = base64.b64encode(_file(_levels(labels))).decode()
    return frame.set_axis([str(position) for position in range(len(labels))], axis="columns"), note


def _are_natural(labels: pd.Index) -> bool:
    # PyArrow reads a point as the way to a nested column, and takes its own names for indexes.
    if labels.name is not None or not all(type(label) is str for label in labels) or not labels.is_unique:
        return False
    if any("." in label or label.startswith("__index_level_") or not label.isprintable() for label in labels):
        return False
    return type(labels) is pd.Index and labels.dtype == pd.Index(labels.tolist()).dtype


def _with_plain_index(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return a frame with its index among its columns, and a note of that."""
    index, counted = frame.index, pd.RangeIndex(len(frame))
    note = _note(index, "The index")
    if "range" in note:
        return frame.set_axis(counted, axis="index"), {**note, "columns": []}
    note["columns"] = _free_names(index, frame.columns)
    levels = _levels(index).set_axis(note["columns"], axis="columns")
    return pd.concat([frame.set_axis(counted, axis="index"), levels], axis="columns"), note


def _free_names(index: pd.Index, taken: Any) -> list[str]:
    """Return names of columns for an index's levels: their own where they can be."""
    own: list[Any] = [
        f"__index_level_{position}__" if name is None else name for position, name in enumerate(index.names)
    ]
    is_free = all(type(name) is str and name not in taken for name in own) and len(set(own)) == len(own)
    plain = is_free and all(name.isprintable() and "." not in name for name in own)
    return own if plain else [f"__index_{position}__" for position in range(index.nlevels)]


def _levels(index: pd.Index) -> pd.DataFrame:
    names: Any = [str(position) for position in range(index.nlevels)]
    return index.to_frame(index=False, name=names if index.nlevels > 1 else "0")


def _names(index: pd.Index, what: str) -> list[Any]:
    names = [*index.names]
    if not all(map(_is_plain, names)):
        raise RefusedError(f"{what} is named by something other than text or a number: rename it, {OTHERWISE}.")
    return names


def _note(index: pd.Index, what: str) -> dict[str, Any]:
    """Return what its levels do not say of an index.

    Raises:
        RefusedError: The index would not come back equal.
    """
    note: dict[str, Any] = {"names": _names(index, what), "multi": isinstance(index, pd.MultiIndex)}
    if isinstance(index, pd.RangeIndex):
        return {**note, "range": [index.start, index.stop, index.step]}
    note["freq"] = getattr(getattr(index, "freq", None), "freqstr", None)
    is_exact = isinstance(index.dtype, np.dtype) and index.dtype.kind in EXACT_KINDS and not note["freq"]
    if not is_exact and not _is_same_index(index, _index(_from_file(_file(_levels(index))), note)):
        raise RefusedError(f"{what} would come back changed: call reset_index(), rename the columns, {OTHERWISE}.")
    return note


def _is_same_index(index: Any, other: Any) -> bool:
    if type(index) is not type(other) or getattr(index, "freq", None) != getattr(other, "freq", None):
        return False
    if isinstance(index, pd.MultiIndex) and [*index.dtypes] != [*other.dtypes]:
        return False
    ours, theirs = _levels(index), _levels(other)
    return [*index.names] == [*other.names] and all(cells.is_same(ours[name], theirs[name]) for name in ours)


def _index(levels: pd.DataFrame, note: dict[str, Any]) -> pd.Index:
    if note["multi"]:
        return pd.MultiIndex.from_frame(levels, names=note["names"])
    index: Any = pd.Index(levels.iloc[:, 0].array, name=note["names"][0])
    if note["freq"]:
        index.freq = note["freq"]
    found: pd.Index = index
    return found


def _range(note: dict[str, Any]) -> pd.Index:
    start, stop, step = note["range"]
    return pd.RangeIndex(start, stop, step, name=note["names"][0])


def _row_index(note: dict[str, Any], values: dict[str, Any], rows: int) -> pd.Index:
    if "range" in note:
        return _range(note)
    levels = {str(position): values[name] for position, name in enumerate(note["columns"])}
    return _index(pd.DataFrame(levels, index=pd.RangeIndex(rows), copy=False), note)


# Reading


def _file(frame: pd.DataFrame) -> bytes:
    written = pa.BufferOutputStream()
    parquet.write(to_table(frame), written)
    content: bytes = written.getvalue().to_pybytes()
    return content


def _from_file(content: bytes) -> pd.DataFrame:
    file = pq.ParquetFile(pa.BufferReader(content))
    return read(file, parquet.notes(file))


def _labels(file: pq.ParquetFile, notes: dict[str, Any]) -> tuple[pd.Index, list[str]]:
    """Return the columns' names, as they are in the frame and as they are in the file."""
    names = [name for name in file.schema_arrow.names if name not in notes["index"]["columns"]]
    note = notes["labels"]
    if note is None:
        return pd.Index(names), names
    return _range(note) if "range" in note else _index(_from_file(base64.b64decode(note["levels"])), note), names


def _positions(labels: pd.Index, wanted: Sequence[Any]) -> list[int]:
    positions = [position for label in wanted for position, other in enumerate(labels) if other == label]
    parquet.refuse_unknown(wanted, [*labels])
    return positions


def _values(file: pq.ParquetFile, notes: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Return columns' values by the columns' names in the file."""
    values: dict[str, Any] = _numbers(file, notes["rows"], names)
    others = [name for name in names if name not in values]
    if others:
        table = file.read(columns=others).select(others)
        for name, (form, description) in notes["forms"].items():
            if name in others:
                values[name] = pd.Series(cells.FORMS[form].unpack(table.column(name), description)).array
        natural = table.select([name for name in others if name not in values])
        frame = _unindexed(natural).to_pandas(split_blocks=True, self_destruct=True)
        values |= {name: frame[name].array for name in natural.column_names}
    return values


def _numbers(file: pq.ParquetFile, rows: int, names: list[str]) -> dict[str, Any]:
    """Return the columns of numbers, read by groups into their arrays: half of the memory of reading all, then converting."""
    own = json.loads(file.schema_arrow.metadata[b"pandas"])["columns"]
    dtypes = {column["field_name"]: column["numpy_type"] for column in own if column["field_name"] in names}
    numbers = {name: np.empty(rows, dtype) for name, dtype in dtypes.items() if _is_number(file, name, dtype)}
    start = 0
    for group in range(file.num_row_groups if numbers else 0):
        table = file.read_row_group(group, columns=[*numbers])
        for name, array in numbers.items():
            array[start : start + table.num_rows] = table.column(name).to_numpy()
        start += table.num_rows
    return numbers


def _is_number(file: pq.ParquetFile, name: str, dtype: str) -> bool:
    kind = file.schema_arrow.field(name).type
    has_zone = pa.types.is_timestamp(kind) and kind.tz is not None
    return pa.types.is_primitive(kind) and not has_zone and NUMBER.fullmatch(dtype) is not None


def _unindexed(table: pa.Table) -> pa.Table:
    """Return a table of which pandas makes no index."""
    metadata = table.schema.metadata or {}
    own = {**json.loads(metadata[b"pandas"]), "index_columns": []}
    return table.replace_schema_metadata({b"pandas": json.dumps(own)})

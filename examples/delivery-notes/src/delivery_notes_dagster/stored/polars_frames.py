"""Stores Polars' frames as Parquet: frames at once, lazy ones in batches.

Polars is imported when a frame of it is stored or wanted: a module may not have it.
"""

import inspect
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from . import parquet
from .errors import RefusedError

if TYPE_CHECKING:
    import polars as pl

#: Types whose values PyArrow stores as Polars does, in smaller files and less time.
PLAIN = {
    *("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64"),
    *("Boolean", "String", "Binary", "Date", "Datetime", "Duration", "Time"),
}


def write(frame: "pl.DataFrame | pl.LazyFrame", file: Path) -> None:
    """Write a frame.

    Raises:
        RefusedError: The frame would not come back equal.
    """
    import polars as pl

    schema = frame.collect_schema()
    _refuse_unless_kept(schema)
    if isinstance(frame, pl.LazyFrame):
        _sink(frame, file)
    elif schema and all(str(dtype.base_type()) in PLAIN and "\0" not in name for name, dtype in schema.items()):
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        parquet.write(table.replace_schema_metadata({parquet.NOTES: '{"polars": "DataFrame"}'}), file)
    else:
        frame.write_parquet(file)


def _sink(frame: "pl.LazyFrame", file: Path) -> None:
    from polars.exceptions import InvalidOperationError

    # Polars before 1.30 writes no notes: its lazy frames come back as frames.
    has_notes = "metadata" in inspect.signature(frame.sink_parquet).parameters
    note: Any = {"metadata": {parquet.NOTES.decode(): '{"polars": "LazyFrame"}'}} if has_notes else {}
    try:
        frame.sink_parquet(file, **note)
    except InvalidOperationError:  # Earlier versions cannot do each operation in batches.
        frame.collect().write_parquet(file, **note)


def _refuse_unless_kept(schema: "pl.Schema") -> None:
    """Refuse types that Parquet does not hold, or would change; an empty frame shows it."""
    import polars as pl

    for name, dtype in schema.items():
        content = io.BytesIO()
        try:
            pl.DataFrame(schema={name: dtype}).write_parquet(content)
            content.seek(0)
            kept = pl.read_parquet_schema(content) == {name: dtype} and bool(pq.read_schema(content))
        except (pl.exceptions.PolarsError, NotImplementedError):  # Of Polars, of PyArrow.
            kept = False
        if not kept:
            raise RefusedError(
                f"The column {name} has the type {dtype}, which Parquet does not hold. Cast it to another type, or "
                f"return its values in a list, which is stored as a pickle."
            )


def read(file: Any, wanted: Sequence[str] | None) -> "pl.DataFrame":
    """Return a stored frame, or the wanted columns of it."""
    import polars as pl

    if wanted is not None:
        parquet.refuse_unknown(wanted, [*pl.read_parquet_schema(file)])
    columns = None if wanted is None else [*wanted]
    return pl.read_parquet(file, columns=columns, glob=False, hive_partitioning=False)


def scan(path: UPath, wanted: Sequence[str] | None) -> "pl.LazyFrame":
    """Return a frame that is read when, and as far as, it is needed."""
    import polars as pl

    if isinstance(path.fs, LocalFileSystem):
        frame = pl.scan_parquet(path.path, glob=False, hive_partitioning=False)
    else:
        frame = pl.scan_pyarrow_dataset(ds.dataset(path.path, filesystem=path.fs, format="parquet"))
    if wanted is None:
        return frame
    parquet.refuse_unknown(wanted, frame.collect_schema().names())
    return frame.select(wanted)

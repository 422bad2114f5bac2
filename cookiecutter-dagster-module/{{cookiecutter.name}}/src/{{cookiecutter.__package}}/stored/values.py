"""What form a value is stored in, and what an input gets of it."""

import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args

import pandas as pd
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from . import pandas_frames, parquet
from .cells import UNFIT
from .errors import RefusedError

if TYPE_CHECKING:
    import polars as pl

#: The first bytes of every Parquet file, and of no pickle.
PARQUET_MARK = b"PAR1"

#: Forms of cells that only pandas gives back.
PANDAS_ONLY = {"json", "complex", "category"}


def write(value: Any, file: Path) -> dict[str, int]:
    """Write a value; return its measures.

    Raises:
        RefusedError: The value would not come back equal.
    """
    is_frame = type(value) is pd.DataFrame or _is_polars(value)
    if type(value) is pd.DataFrame:
        parquet.write(pandas_frames.to_table(value), file)
    elif is_frame:
        from . import polars_frames

        polars_frames.write(value, file)
    else:
        _pickle(value, file)
    rows = {"dagster/row_count": pq.read_metadata(file).num_rows} if is_frame else {}
    return {"size_bytes": file.stat().st_size, **rows}


def _pickle(value: Any, file: Path) -> None:
    with file.open("wb") as stream:
        try:
            pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
        except OSError:
            raise
        except Exception as error:  # Each class pickles itself, and fails in its way.
            kind = type(value).__name__
            cure = "Return data instead, such as a data frame, a mapping or the path of a file."
            raise RefusedError(f"A value of the type {kind} cannot be stored: {error}. {cure}") from error


def _is_polars(value: Any) -> bool:
    # A value can be a Polars frame only if Polars is already imported, so this does not import it.
    polars = sys.modules.get("polars")
    return polars is not None and type(value) in {polars.DataFrame, polars.LazyFrame}


def read(path: UPath, annotation: Any, wanted: Sequence[Any] | None) -> Any:
    """Return a stored value.

    Args:
        path: Its file.
        annotation: The input's type, which says whether a frame of pandas or Polars is wanted; otherwise it is what
            was stored.
        wanted: The columns to read of a frame; None for all.

    Raises:
        RefusedError: The file does not hold what is wanted.
    """
    libraries = _libraries(annotation)
    with path.open("rb") as file:
        if file.read(len(PARQUET_MARK)) == PARQUET_MARK:
            file.seek(0)
            return _read_frame(path, file, libraries, wanted)
        wants_frame = {"DataFrame", "LazyFrame"} & libraries and not get_args(annotation)
        if wants_frame or wanted is not None:
            # Data frames are never unpickled: reading a pickle runs code that its writer chose.
            raise RefusedError(f"{path} holds no data frame. Materialize the asset again.")
        file.seek(0)
        return pickle.load(file)


def _libraries(annotation: Any) -> set[str]:
    """Return the packages and names in an annotation: ``pd.DataFrame | None`` -> ``{"pandas", "DataFrame", …}``."""
    own = {getattr(annotation, "__module__", "").partition(".")[0], getattr(annotation, "__name__", "")}
    return own.union(*map(_libraries, get_args(annotation)))


def _read_frame(path: UPath, file: IO[bytes], libraries: set[str], wanted: Sequence[Any] | None) -> Any:
    # PyArrow and Polars read a local file by its path with less memory.
    source = path.path if isinstance(path.fs, LocalFileSystem) else file
    stored = pq.ParquetFile(source, pre_buffer=False)
    notes = parquet.notes(stored)
    if "pandas" not in libraries and ("polars" in libraries or _is_written_by_polars(stored, notes)):
        is_lazy = "LazyFrame" in libraries or ("DataFrame" not in libraries and notes.get("polars") == "LazyFrame")
        return _polars_frame(path, stored, source, is_lazy, wanted)
    if "rows" in notes:
        return pandas_frames.read(stored, notes, wanted)
    if wanted is not None:
        parquet.refuse_unknown(wanted, stored.schema_arrow.names)
    return pd.read_parquet(source, columns=None if wanted is None else [*wanted])


def _is_written_by_polars(stored: pq.ParquetFile, notes: dict[str, Any]) -> bool:
    return "polars" in notes or stored.metadata.created_by.startswith("Polars")


def _polars_frame(
    path: UPath, stored: pq.ParquetFile, source: Any, is_lazy: bool, wanted: Sequence[Any] | None
) -> "pl.DataFrame | pl.LazyFrame":
    import polars as pl

    from . import polars_frames

    notes = parquet.notes(stored)
    if notes.get("labels") or PANDAS_ONLY & {form for form, _ in notes.get("forms", {}).values()}:
        try:
            frame = pl.from_pandas(pandas_frames.read(stored, notes, wanted))
        except (*UNFIT, pl.exceptions.PolarsError) as error:
            message = f"Polars cannot hold the frame that {path} holds: {error}. Annotate the input as pd.DataFrame."
            raise RefusedError(message) from error
        return frame.lazy() if is_lazy else frame
    return polars_frames.scan(path, wanted) if is_lazy else polars_frames.read(source, wanted)

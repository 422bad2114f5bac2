"""Where the assets' values are stored between steps and runs.

Each output is one file below ``DAGSTER_STORAGE_DIR``: a data frame as Parquet, anything else as a pickle.
The file's first bytes tell the two apart, so a value of another type replaces the old one.
"""

import errno
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_args
from urllib.parse import quote
from uuid import uuid4

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

if TYPE_CHECKING:
    import polars as pl

STORAGE_VARIABLE = "DAGSTER_STORAGE_DIR"
DEFAULT_STORAGE = "/tmp/dagster_storage"

#: The first bytes of every Parquet file, and of no pickle.
PARQUET_MARK = b"PAR1"

#: Errors that a retry cannot fix. Temporary failures of object storage have other numbers, or none.
LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


class StorageError(dg.Failure):
    """The storage cannot be written."""


class OutputMissingError(dg.Failure, FileNotFoundError):
    """No value is stored for a needed asset; a retry cannot help."""


def storage_root() -> str:
    """Return the folder or URL below which values are stored; the default folder is created with mode 0700."""
    root = os.environ.get(STORAGE_VARIABLE) or DEFAULT_STORAGE
    with suppress(OSError):  # The first write reports the error.
        _make_private(UPath(root))
    return root


def escaped(part: str) -> str:
    """Return text as a file name: ``../other`` -> ``%2E.%2Fother``, which stays in its asset's folder.

    ``urllib.parse.unquote`` reverses it.
    """
    name = "".join(quote(character, safe="") if character.isascii() else character for character in part)
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


class Storage(dg.UPathIOManager):
    """Stores each output, or each partition of one, in a separate file."""

    extension = ".data"

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Write a value atomically: readers see the complete old file or the complete new one."""
        with _explained(path), _replacement(path) as written:
            _write(obj, written)
            context.add_output_metadata(_measures(obj, written))

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        """Return the stored value; a data frame as pandas or Polars, as the input's annotation says.

        Raises:
            OutputMissingError: Nothing is stored for the asset.
            StorageError: Another user could have written the file, or it holds no data frame where one is expected.
        """
        annotation = context.dagster_type.typing_type
        _check_ownership(path)
        try:
            with path.open("rb") as file:
                _refuse_pickled_frame(annotation, file, path)
                return _read(file, _libraries(annotation))
        except FileNotFoundError as error:
            raise OutputMissingError(_missing(context, path), allow_retries=False) from error

    def make_directory(self, path: UPath) -> None:
        """Create an asset's folder."""
        with _explained(path):
            _make_private(path)
            _check_ownership(path)
            super().make_directory(path)

    def get_asset_relative_path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        """Return an asset's path below the storage root."""
        return UPath(*(escaped(part) for part in context.asset_key.path))

    # The base class joins the dimensions of a multi-partition key before a subclass can escape them, and also looks
    # for files of old Dagster versions under the raw key.
    def _get_paths_for_partitions(self, context: dg.InputContext | dg.OutputContext) -> dict[str, UPath]:
        folder = self._get_path_without_extension(context)
        return {
            key: self._with_extension(folder.joinpath(*map(escaped, _dimensions(key))))
            for key in context.asset_partition_keys
        }

    def _get_multipartition_backcompat_paths(self, context: dg.InputContext | dg.OutputContext) -> dict[str, UPath]:
        return {}


class ModuleStorage(dg.ConfigurableIOManagerFactory[Storage]):
    """The module's IO manager; ``base_path`` overrides ``DAGSTER_STORAGE_DIR``."""

    base_path: str | None = None

    def create_io_manager(self, context: dg.InitResourceContext) -> Storage:
        """Return the IO manager for a run."""
        return Storage(UPath(self.base_path or storage_root()))


def _dimensions(key: str) -> list[str]:
    if isinstance(key, dg.MultiPartitionKey):
        return [part for _, part in sorted(key.keys_by_dimension.items())]
    return [key]


@contextmanager
def _replacement(path: UPath) -> Iterator[Path]:
    """Yield a local file to write; it replaces ``path`` when it is complete.

    A rename within a folder is atomic, and so is the upload of one object.
    """
    if isinstance(path.fs, LocalFileSystem):
        target = Path(path.path)
        written = target.with_name(f".{uuid4().hex}.tmp")
        try:
            yield written
            written.replace(target)
        finally:
            written.unlink(missing_ok=True)
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder, "output")
            path.fs.put_file(f"{folder}/output", path.path)


def _is_in_tmp(path: UPath) -> bool:
    """Return whether a path is in the default folder below ``/tmp``, which any user of the machine could have created.

    In a container the folder is a mounted volume, which only the administrator can create.
    """
    if os.name == "nt" or not isinstance(path.fs, LocalFileSystem) or os.path.ismount(DEFAULT_STORAGE):
        return False
    return Path(path.path).absolute().is_relative_to(DEFAULT_STORAGE)


def _make_private(path: UPath) -> None:
    """Make the default folder for this user alone, also where an earlier version let others in."""
    if not _is_in_tmp(path):
        return
    root = Path(DEFAULT_STORAGE)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = root.lstat()
    if stat.S_ISDIR(state.st_mode) and state.st_uid == os.geteuid() and state.st_mode & 0o077:
        root.chmod(0o700)


def _check_ownership(path: UPath) -> None:
    """Raise StorageError if another user could have written the file: reading a pickle runs code that its writer chose."""
    if not _is_in_tmp(path):
        return
    target = Path(path.path).absolute()
    folders = [folder for folder in target.parents if folder.is_relative_to(DEFAULT_STORAGE)]
    for part in [*reversed(folders), target]:
        try:
            state = part.lstat()
        except FileNotFoundError:
            return
        is_open = state.st_mode & stat.S_IWOTH and not state.st_mode & stat.S_ISVTX
        if stat.S_ISLNK(state.st_mode) or state.st_uid not in {0, os.geteuid()} or is_open:
            raise StorageError(
                f"{part} belongs to another user, or other users can write to it, so it is not used. "
                f"Set {STORAGE_VARIABLE} to a folder that only you can write to, or remove {part}.",
                allow_retries=False,
            )


def _refuse_pickled_frame(annotation: Any, file: IO[bytes], path: UPath) -> None:
    """Refuse to unpickle where a data frame is expected: data frames are always stored as Parquet."""
    wants_frame = {"DataFrame", "LazyFrame"} & _libraries(annotation) and not get_args(annotation)
    if wants_frame and file.read(len(PARQUET_MARK)) != PARQUET_MARK:
        raise StorageError(f"{path} holds no data frame. Materialize the asset again.", allow_retries=False)
    file.seek(0)


@contextmanager
def _explained(path: UPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cure = f"Free some space, give the run write access, or set {STORAGE_VARIABLE} to another folder."
        message = f"Cannot write {path}: {error.strerror or error}. {cure}"
        raise StorageError(message, allow_retries=error.errno not in LASTING) from error


def _write(obj: Any, file: Path) -> None:
    if isinstance(obj, pd.DataFrame):
        obj.to_parquet(file)
    elif _is_polars(obj):
        obj.lazy().collect().write_parquet(file)
    else:
        with file.open("wb") as stream:
            pickle.dump(obj, stream, protocol=pickle.HIGHEST_PROTOCOL)


def _is_polars(obj: Any) -> bool:
    # A value can be a Polars frame only if Polars is already imported, so this does not import it.
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(obj, (polars.DataFrame, polars.LazyFrame))


def _measures(obj: Any, file: Path) -> dict[str, int]:
    measures = {"size_bytes": file.stat().st_size}
    if isinstance(obj, pd.DataFrame) or _is_polars(obj):
        measures["dagster/row_count"] = pq.read_metadata(file).num_rows
    return measures


def _read(file: IO[bytes], libraries: set[str]) -> Any:
    mark = file.read(len(PARQUET_MARK))
    file.seek(0)
    if mark != PARQUET_MARK:
        return pickle.load(file)
    if "polars" in libraries:
        return _polars_frame(file, libraries)
    return pd.read_parquet(file)


def _polars_frame(file: IO[bytes], libraries: set[str]) -> "pl.DataFrame | pl.LazyFrame":
    import polars as pl

    frame = pl.read_parquet(file)
    return frame.lazy() if "LazyFrame" in libraries else frame


def _libraries(annotation: Any) -> set[str]:
    """Return the packages and names in an annotation: ``pd.DataFrame | None`` -> ``{"pandas", "DataFrame", …}``."""
    own = {getattr(annotation, "__module__", "").partition(".")[0], getattr(annotation, "__name__", "")}
    return own.union(*map(_libraries, get_args(annotation)))


def _missing(context: dg.InputContext, path: UPath) -> str:
    if not context.has_asset_key:
        return f"No value is stored at {path}. Run the previous step again."
    key = context.asset_key.to_user_string()
    return (
        f"The asset {key} has no stored value at {path}. Materialize {key} first. "
        f"If it was materialized elsewhere, set {STORAGE_VARIABLE} to the same folder for both runs."
    )

"""Where the assets' values are stored between steps and runs.

Each output is one file below ``DAGSTER_STORAGE_DIR``: a data frame as Parquet, anything else as a pickle. The file's
first bytes tell the two apart, so a value of another type replaces the old one. What would not come back equal is
refused. ``stored`` has the forms of values. A value that is not there is read below ``DAGSTER_UPSTREAM_STORAGE_DIR``, if
that is set: a preview of a branch so reads what production stored, and never writes there.
"""

import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
from fsspec.implementations.local import LocalFileSystem
from upath import UPath

from .stored import values
from .stored.errors import OutputMissingError, StorageError
from .stored.replacement import replacement

__all__ = ["ModuleStorage", "OutputMissingError", "Storage", "StorageError", "storage_root"]

STORAGE_VARIABLE = "DAGSTER_STORAGE_DIR"
UPSTREAM_VARIABLE = "DAGSTER_UPSTREAM_STORAGE_DIR"
DEFAULT_STORAGE = "/tmp/dagster_storage"

#: What fsspec needs for object storage.
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}

#: Errors that a retry cannot fix. Temporary failures of object storage have other numbers, or none.
LASTING = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST}


def storage_root() -> str:
    """Return the folder or URL below which values are stored; the default folder is created with mode 0700."""
    root = os.environ.get(STORAGE_VARIABLE) or DEFAULT_STORAGE
    with suppress(OSError, ImportError):  # Whoever uses the folder reports the error.
        _make_private(UPath(root))
    return root


def upstream_root() -> str | None:
    """Return the folder or URL from which values are read that are not stored here; None if there is none."""
    return os.environ.get(UPSTREAM_VARIABLE) or None


def escaped(part: str) -> str:
    """Return text as a file name: ``../other`` -> ``%2E.%2Fother``, which stays in its asset's folder.

    ``urllib.parse.unquote`` reverses it.
    """
    name = "".join(quote(character, safe="") if character.isascii() else character for character in part)
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


class Storage(dg.UPathIOManager):
    """Stores each output, or each partition of one, in a separate file."""

    extension = ".data"

    def __init__(self, base_path: UPath, upstream: UPath | None = None) -> None:
        """Store below ``base_path``; what is not there is read below ``upstream``, which is never written."""
        super().__init__(base_path=base_path)
        self._root, self._upstream = base_path, upstream

    def dump_to_path(self, context: dg.OutputContext, obj: Any, path: UPath) -> None:
        """Write a value atomically: readers see the complete old file or the complete new one.

        Raises:
            StorageError: The storage cannot be written, or the value would not come back equal.
        """
        with _explained(path), replacement(path) as written:
            context.add_output_metadata(values.write(obj, written))

    def load_from_path(self, context: dg.InputContext, path: UPath) -> Any:
        """Return the stored value; a data frame as pandas or Polars, as the input's annotation says, or as it was stored.

        The input's metadata may name the columns to read: ``dg.AssetIn(metadata={"columns": ["city"]})``.

        Raises:
            OutputMissingError: Nothing is stored for the asset.
            StorageError: Another user could have written the file, or it does not hold what the input wants.
        """
        wanted, columns = context.dagster_type.typing_type, (context.definition_metadata or {}).get("columns")
        for place in [path, *self._places_upstream(path)]:
            _check_ownership(place)
            with suppress(FileNotFoundError):
                return values.read(place, wanted, columns)
        raise OutputMissingError(_missing(context, path), allow_retries=False)

    def _places_upstream(self, path: UPath) -> list[UPath]:
        if self._upstream is None:
            return []
        inside = posixpath.relpath(path.as_posix(), self._root.as_posix())
        return [self._upstream.joinpath(*inside.split("/"))]

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
    """The module's IO manager; ``base_path`` overrides ``DAGSTER_STORAGE_DIR``, and nothing is read elsewhere then."""

    base_path: str | None = None

    def create_io_manager(self, context: dg.InitResourceContext) -> Storage:
        """Return the IO manager for a run."""
        if self.base_path:
            return Storage(_place(self.base_path))
        upstream = upstream_root()
        return Storage(_place(storage_root()), _place(upstream) if upstream else None)


def _dimensions(key: str) -> list[str]:
    if isinstance(key, dg.MultiPartitionKey):
        return [part for _, part in sorted(key.keys_by_dimension.items())]
    return [key]


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


def _place(root: str) -> UPath:
    """Return a folder or URL as a path.

    Raises:
        StorageError: The package for this kind of object storage is not installed.
    """
    place = UPath(root)
    try:
        place.fs  # noqa: B018  # It is made here.
    except ImportError as error:
        package = PACKAGES.get(place.protocol, "a package of fsspec")
        message = f"{root} needs {package}. Add it to the dependencies in pyproject.toml, and install the module again."
        raise StorageError(message, allow_retries=False) from error
    return place


@contextmanager
def _explained(path: UPath) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        is_local = isinstance(path.fs, LocalFileSystem)
        cure = "Free some space, give" if is_local else "Check that the bucket exists, give"
        cure = f"{cure} the run write access, or set {STORAGE_VARIABLE} to another place."
        can_pass = error.errno not in LASTING and not isinstance(error, FileNotFoundError)
        message = f"Cannot write {path}: {error.strerror or error}. {cure}"
        raise StorageError(message, allow_retries=can_pass) from error


def _missing(context: dg.InputContext, path: UPath) -> str:
    if not context.has_asset_key:
        return f"No value is stored at {path}. Run the previous step again."
    key = context.asset_key.to_user_string()
    return (
        f"The asset {key} has no stored value at {path}. Materialize {key} first. "
        f"If it was materialized elsewhere, set {STORAGE_VARIABLE} to the same folder for both runs."
    )

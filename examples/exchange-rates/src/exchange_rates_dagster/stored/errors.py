"""The storage's errors. A retry cannot fix them, except where it says so."""

import dagster as dg


class StorageError(dg.Failure):
    """The storage cannot be read or written."""


class OutputMissingError(dg.Failure, FileNotFoundError):
    """No value is stored for a needed asset."""


class RefusedError(StorageError):
    """The value would not come back as it is, or cannot be read as the input wants it."""

    def __init__(self, message: str) -> None:
        """Fail without another try."""
        super().__init__(message, allow_retries=False)

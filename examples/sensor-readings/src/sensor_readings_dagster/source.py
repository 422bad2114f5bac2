"""Where the gateway puts its files: one for each day."""

import dagster as dg
import pandas as pd

COLUMNS = ["sensor", "taken_at", "celsius"]


class Source(dg.ConfigurableResource["Source"]):
    """Reads ``<url>/2026-03-02.csv``; the URL is a folder or, for example, ``s3://bucket/folder``."""

    url: str

    def day(self, day: str) -> pd.DataFrame:
        """Return the readings of a day.

        Raises:
            dagster.Failure: There is no file for the day.
        """
        file = f"{self.url}/{day}.csv"
        try:
            return pd.read_csv(file, usecols=COLUMNS, parse_dates=["taken_at"])
        except FileNotFoundError as error:
            raise dg.Failure(f"{file} does not exist. Materialize {day} again when it does.") from error

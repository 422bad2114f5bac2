"""A Dagster code location; its definitions are in ``definitions.py``."""

TITLE = "Exchange rates"
DESCRIPTION = "Daily exchange rates from a paged JSON API, in PostgreSQL."

#: Prefix of every asset key, name of the asset group, and name of the code location.
NAME = "exchange_rates"

"""Dagster modules: made, run together in one workspace, and deployed to other hosts."""

__version__ = "0.1.0"

"""Dagster on this machine, without containers."""

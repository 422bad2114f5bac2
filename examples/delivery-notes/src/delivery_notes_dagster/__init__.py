"""A Dagster code location; its definitions are in ``definitions.py``."""

TITLE = "Delivery notes"
DESCRIPTION = "Delivery notes in PDF, fetched by SFTP and read into one table."

#: Prefix of every asset key, name of the asset group, and name of the code location.
NAME = "delivery_notes"

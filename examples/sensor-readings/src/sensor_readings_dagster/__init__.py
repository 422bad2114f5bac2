"""A Dagster code location; its definitions are in ``definitions.py``."""

TITLE = "Sensor readings"
DESCRIPTION = "Readings of sensors in daily partitions, stored in S3."

#: Prefix of every asset key, name of the asset group, and name of the code location.
NAME = "sensor_readings"

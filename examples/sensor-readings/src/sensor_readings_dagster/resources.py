"""The assets' resources: storage and the gateway's files."""

import dagster as dg

from .source import Source
from .storage import ModuleStorage

RESOURCES = {
    "io_manager": ModuleStorage(),
    "source": Source(url=dg.EnvVar("SENSOR_READINGS_SOURCE")),
}

"""The assets' resources: storage, the API and the database."""

import dagster as dg

from .api import RatesApi
from .database import Database
from .storage import ModuleStorage

RESOURCES = {
    "io_manager": ModuleStorage(),
    "api": RatesApi(url=dg.EnvVar("EXCHANGE_RATES_API_URL")),
    "database": Database(),
}

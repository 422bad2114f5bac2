"""The assets' resources: storage{{ ' and the database' if cookiecutter.database != 'none' }}."""

{% if cookiecutter.database != 'none' %}
from .database import Database
{% endif %}
from .storage import ModuleStorage

RESOURCES = {
    "io_manager": ModuleStorage(),
{% if cookiecutter.database != 'none' %}
    "database": Database(),
{% endif %}
}

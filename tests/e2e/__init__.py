"""The generated workspace and modules on a real stack: Docker Engine, Compose, PostgreSQL, MariaDB, Dagster, a browser."""

"""The generated workspace and modules on a real stack: Docker Engine, Compose, databases, Dagster, a browser."""

"""Calling other programs (git, uv, Docker, Compose) and Dagster's GraphQL."""

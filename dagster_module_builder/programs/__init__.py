"""Other programs (git, uv, Docker, Compose) and Dagster's GraphQL."""

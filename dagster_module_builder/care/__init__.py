"""Day two: what keeps a Dagster well that has run for years."""

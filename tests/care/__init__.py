"""What keeps a Dagster well: pruning."""

"""Reading a repository that other people made: where its Dagster lies, and what this program can do there."""

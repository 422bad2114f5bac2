"""Repositories as other people lay them out: a folder each under ``cases/``; ``expected.toml`` says what is found."""

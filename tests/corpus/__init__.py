"""Workspaces as other people write them: a folder each under ``cases/``; ``case.yaml`` says what is special."""

"""Workspaces as other people write them: a folder each under ``cases/``, with what is special about it in ``case.yaml``."""

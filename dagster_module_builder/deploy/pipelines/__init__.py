"""Pipelines that carry out a deployment: one description as a value, and a file for each platform made from it."""

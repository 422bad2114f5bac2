"""Whether a workspace is in order, on disk and as it runs."""

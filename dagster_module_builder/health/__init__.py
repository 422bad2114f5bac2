"""Whether a workspace is in order, on the disk and as it runs."""

"""What may be shown of a file in a diff."""

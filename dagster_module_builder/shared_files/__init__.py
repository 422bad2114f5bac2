"""Blocks between markers in files that people edit: bytes in, bytes out."""

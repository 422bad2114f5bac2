"""The formats of shared files: reading them, and turning fragments into blocks."""

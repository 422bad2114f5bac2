"""One module: its files, what it states, what it requires."""

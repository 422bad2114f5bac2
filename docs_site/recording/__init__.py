"""The recording in README.md: a real shell with the real program, as an animated picture (``nox -s recording``)."""

"""What blocks claim for themselves (names, ports, volumes), and where two claims conflict."""

"""What blocks claim (names, ports, volumes), and where claims conflict."""

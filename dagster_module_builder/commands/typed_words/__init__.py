"""What is typed on the command line: corrected before Invoke parses it, and completed by the shell."""

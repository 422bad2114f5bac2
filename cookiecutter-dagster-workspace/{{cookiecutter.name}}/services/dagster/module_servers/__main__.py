"""Runs the folder by its path: ``python module_servers --help``."""

import importlib
import os
import sys

if __name__ == "__main__":
    # The folder itself is first in the import path; its files must not hide modules of the same names.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    program = importlib.import_module("module_servers.program")
    # As 'python -m dagster' has it, which Dagster starts code servers with.
    sys.path[0] = os.getcwd()
    sys.exit(program.main())

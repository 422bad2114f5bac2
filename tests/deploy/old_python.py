"""A Python that is too old for the host's side."""

from __future__ import annotations

import sys

#: Says that it is Python 3.6, and is otherwise what it is called with.
OLD = f"""\
#!/bin/sh
shift
exec {sys.executable} -ISuc '
import sys
sys.version_info, sys.version = (3, 6, 8), "3.6.8 (default)"
exec(sys.argv.pop(1))' "$@"
"""

"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell starts what it puts in the background deaf to Ctrl-C, and children inherit that: the tests' programs have to
# hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

"""The program ``songmill``: a signal ends it without a traceback while the command line loads."""

import os
import signal
import sys

INTERRUPTED = [128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]
"""Exit codes of an interrupted command."""


def main() -> None:
    """Load the command line, which from then on answers signals itself, and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` leaves it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    from jobs.cli.main import main as command_line

    try:
        command_line()
    except SystemExit as end:
        if end.code in INTERRUPTED:
            # Threads that wait in libraries are left behind: Python's own end might wait for them.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise

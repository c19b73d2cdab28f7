"""Entry point of ``songmill``, which a signal ends without a traceback from the start."""

import io
import os
import signal
import sys

INTERRUPTED = [128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]
"""Exit codes of an interrupted command."""


def main() -> None:
    """Load and run the command line, which handles signals from then on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as `nohup` leaves it
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal lacks
    from jobs.cli.main import main as command_line

    try:
        command_line()
    except SystemExit as end:
        if end.code in INTERRUPTED:
            # A regular exit might wait for the threads of libraries.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
        raise

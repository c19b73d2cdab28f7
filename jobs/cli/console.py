"""The program ``songmill``: Ctrl-C ends it without a traceback while the command line is loaded."""

import signal


def main() -> None:
    """Load the command line, which from then on answers signals itself, and run it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jobs.cli.main import main as command_line

    command_line()

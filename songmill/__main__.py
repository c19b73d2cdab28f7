"""The program ``songmill``, and ``python -m songmill``."""

import sys

from songmill.own_packages import put_first


def main() -> None:
    """Run the command line, even if another package called ``jobs`` is on Python's path."""
    try:
        put_first()
    except ImportError as error:
        sys.exit(f"songmill: {error}")
    from jobs.cli.console import main as command_line

    command_line()


if __name__ == "__main__":
    main()

"""The program ``songmill``, and ``python -m songmill``."""

import sys

from songmill.own_packages import put_first


def main() -> None:
    """Run the command line; another package called ``jobs`` on Python's path is no matter."""
    try:
        put_first()
    except ImportError as error:
        sys.exit(f"songmill: {error}")
    from jobs.cli.console import main as command_line

    command_line()


if __name__ == "__main__":
    main()

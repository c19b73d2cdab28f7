"""``python -m songmill``: the command line."""

from jobs.cli.console import main

main()

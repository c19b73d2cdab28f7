"""The command line: options in, tables, JSON and exit codes out.

May use everything in `jobs`. Its files import heavy modules inside the commands, so that
``songmill --help`` answers at once.
"""

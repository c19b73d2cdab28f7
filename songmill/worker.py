"""Importing this module in a worker puts songmill's own folder first on Python's path."""

from songmill.own_packages import put_first

put_first()

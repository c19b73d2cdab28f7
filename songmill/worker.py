"""Imported by workers before any other package of songmill: puts songmill's own folder first."""

from songmill.own_packages import put_first

put_first()

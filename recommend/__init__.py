"""Metrics of similarity, and exact nearest neighbours.

It uses NumPy, SciPy, Numba and the sums of :mod:`training`, but no Dask, no store and no command
line.
"""

"""Exact nearest neighbours of vectors, by cosine.

It uses NumPy and Numba, and scikit-learn for scaling, but no Dask, no store and no command line.
"""

"""Vectors in, neighbours out: the most similar rows by cosine, exactly.

Knows NumPy and Numba, and scikit-learn for scaling. Knows no Dask, no store and no command line.
"""

"""One recording in, rows of numbers out.

NumPy only: nothing here knows Dask, Parquet or a terminal. :func:`featurizer.extract.extract` is
the way in; :mod:`featurizer.columns` names what comes out; :mod:`featurizer.errors` says what can
go wrong.
"""

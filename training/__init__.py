"""Rows and labels in, a judged model out.

Nothing here knows a store, a terminal or how a cluster is made. Features come from
:mod:`featurizer`, tables from :mod:`jobs`.
"""

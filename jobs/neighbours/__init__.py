"""Nearest neighbours in a store: the similarity table, duplicates, queries by one recording.

Knows stages, inputs, the cluster and the store; not the other stages' packages.
"""

"""The store of docs/store.md: tables, commit, lock, files in a folder or a bucket.

Knows no Dask, no terminal and no command.
"""

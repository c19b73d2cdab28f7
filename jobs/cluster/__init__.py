"""The Dask cluster: connecting, windows of tasks, failures, workers' fitness.

Knows the store; knows no stage and no command.
"""

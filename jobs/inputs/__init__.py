"""What the user hands in: sources, recordings, labels, CSV files.

Knows the store; knows no cluster and no stage.
"""

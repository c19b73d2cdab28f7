"""The nightly run: every stage whose inputs have changed, under one lock.

May use everything in `jobs` but the command line.
"""

"""Pages and counts of a store for people: report, inspection, status.

Knows every stage's package; not the nightly run.
"""

"""Defaults of options, for the command line and the functions behind it."""

LABELS = "parent"
"""A track's label is the name of its folder."""

SEGMENT_RANGE_S = (0.1, 600.0)
"""Shortest and longest segment in seconds."""

MAX_FAILED = 0.1
"""Share of failed files above which an extraction ends with exit code 3."""

MAX_GONE = 0.1
"""Share of the known files of a source above which nothing is removed, with exit code 3."""

FEW_FILES = 3
"""Failed or gone files that are no reason for exit code 3, even if their share is above the limit.
"""

KEEP_MODELS = 10
"""Models kept besides the champion."""

SPLIT = "by-track"

FOLDS = 5

TOLERANCE = 0.0
"""Loss of macro F1 by track, beyond its interval, with which a new model becomes the champion."""

RETRAIN_ABOVE = 0.01
"""Share of labelled rows, changed since the last training, up to which a night does not train."""

FEW_TRACKS = 20
"""Test tracks of a label below which its scores are marked, because they say little."""

NEIGHBOURS = 20
"""Neighbours of each track in the similarity table."""

SHOWN_NEIGHBOURS = 5
"""Neighbours in the answer to a query."""

DUPLICATE_COSINE = 0.9999
"""Minimum cosine of two recordings that count as the same one."""

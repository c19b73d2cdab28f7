"""Defaults of options, for the command line and the functions behind it."""

LABELS = "parent"
"""A track's label is the name of its folder."""

SEGMENT_RANGE_S = (0.1, 600.0)
"""Shortest and longest segment in seconds."""

MAX_FAILED = 0.1
"""Share of failed files above which an extraction ends with exit code 3."""

SPLIT = "by-track"

FOLDS = 5

TOLERANCE = 0.01
"""Largest loss of macro F1 by track with which a new model replaces the champion."""

NEIGHBOURS = 20
"""Neighbours of each track in the similarity table."""

SHOWN_NEIGHBOURS = 5
"""Neighbours in the answer to a query."""

DUPLICATE_COSINE = 0.9999
"""Minimum cosine of two recordings that count as the same one."""

"""Defaults of the options that the command line and the functions behind it share."""

LABELS = "parent"
"""A track's label is the name of its folder."""

MAX_FAILED = 0.1
"""Share of failed files above which an extraction ends with exit code 3."""

SPLIT = "by-track"

FOLDS = 5

TOLERANCE = 0.01
"""Loss of macro F1 by track at which a new model still replaces the champion."""

NEIGHBOURS = 20
"""Neighbours of each track in the similarity table."""

SHOWN_NEIGHBOURS = 5
"""Neighbours that a query returns."""

DUPLICATE_COSINE = 0.9999
"""Cosine from which two recordings are taken for the same one."""

"""Names of the tables that can be exported."""

from typing import Literal, get_args

TableName = Literal[
    "similarity",
    "duplicates",
    "predictions",
    "predictions-long",
    "suspects",
    "features",
    "features-rich",
    "files",
    "tags",
    "labels",
    "comparison",
    "comparison-rich",
    "runs",
    "similarity-matrix",
    "metrics",
    "compared",
]

LISTED = " or ".join(", ".join(get_args(TableName)).rsplit(", ", 1))
"""All of them, for people."""

"""The part of the storm that runs: all of it, or one of several equal shares.

The environment variable STORM_PART is ``0/4`` for the first of four shares.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

PART, PARTS = map(int, os.environ.get("STORM_PART", "0/1").split("/"))

T = TypeVar("T")


def share(moments: Sequence[T]) -> Sequence[T]:
    """Return this part's share of the moments at which a test kills or suspends a job."""
    return moments[PART::PARTS]

"""Feature sets: their names, versions, columns and levels.

A set is a module of :mod:`featurizer.sets`. Its metadata is light: kernels are imported when an
analysis starts.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from featurizer.columns import SAMPLE_RATE

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from featurizer.accumulator import Accumulator
    from featurizer.curves import Curves

Level = Literal["track", "segment"]
"""Level of a row: a whole recording, or one of its segments."""

LEVELS: tuple[Level, ...] = ("track", "segment")
"""All levels."""

DEFAULT_SETS = ("gtzan", "rich")
"""Names of the sets that are extracted unless others are chosen."""


@dataclass(frozen=True)
class Column:
    """A column of a feature set.

    Parameters
    ----------
    name : str
        Unique within the set: lower-case letters, digits and underscores.
    block : str
        Group of related columns.
    unit : str
        Unit of the values; ``1`` for a number without one.
    meaning : str
        What the values are, in a few words.
    source : str
        Publication that defines them.
    """

    name: str
    block: str
    unit: str
    meaning: str
    source: str


@dataclass(frozen=True)
class FeatureSet:
    """A feature set.

    Parameters
    ----------
    name : str
        Name of the set, for users.
    version : str
        Changes whenever the same recording would yield other values.
    columns : tuple of Column
        The columns, in order.
    levels : tuple of Level
        Levels that have rows.
    min_samples : int
        Length of the shortest signal that has a row, at 22,050 Hz.
    dtype : str
        NumPy type of the values.
    accumulator : callable
        Starts the computation of a row of a signal [shape=(n,), float32]. The second argument
        receives the values behind the row if it is not None.
    """

    name: str
    version: str
    columns: tuple[Column, ...]
    levels: tuple[Level, ...]
    min_samples: int
    dtype: Literal["float32", "float64"]
    accumulator: Callable[["npt.NDArray[np.float32]", "Curves | None"], "Accumulator"]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def too_short(self, n_samples: int) -> str | None:
        """Return why a signal is too short for a row; None if it is long enough.

        Parameters
        ----------
        n_samples : int
            Its samples, at 22,050 Hz.

        Examples
        --------
        >>> print(feature_set("rich").too_short(200_000))
        The recording has 9.07 seconds; rich features need at least 10. Use a longer recording.
        >>> feature_set("rich").too_short(220_500)
        """
        if n_samples >= self.min_samples:
            return None
        # Rounded down: the minimum itself would not be too short.
        seconds = int(100 * n_samples / SAMPLE_RATE) / 100
        return (
            f"The recording has {seconds:g} seconds; {self.name} features need at least "
            f"{self.min_samples / SAMPLE_RATE:.4g}. Use a longer recording."
        )


@cache
def feature_sets() -> Mapping[str, FeatureSet]:
    """Return all feature sets by name: the constants ``FEATURE_SET`` of their modules.

    Examples
    --------
    >>> [(name, len(found.columns)) for name, found in feature_sets().items()]
    [('gtzan', 57), ('rich', 458)]
    """
    package = importlib.import_module("featurizer.sets")
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    found = [importlib.import_module(f"{package.__name__}.{name}").FEATURE_SET for name in names]
    return MappingProxyType({one.name: one for one in found})


def feature_set(name: str) -> FeatureSet:
    """Return the feature set of this name.

    Raises
    ------
    ValueError
        No set has this name; the message lists those that exist.

    Examples
    --------
    >>> feature_set("rich").names[:2]
    ('texture_mfcc00_logstd_of_means', 'texture_mfcc01_logstd_of_means')
    """
    try:
        return feature_sets()[name]
    except KeyError:
        known = ", ".join(feature_sets())
        raise ValueError(f"There is no feature set {name!r}. Choose from: {known}.") from None

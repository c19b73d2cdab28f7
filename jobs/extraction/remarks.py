"""Remarks on files that lack a feature set because they are too short for it."""

import numpy as np

from featurizer.columns import SAMPLE_RATE
from featurizer.feature_set import feature_set
from featurizer.mono_signal import resampled_length


def too_short(name: str) -> str:
    """Return the remark on a file that is too short for a feature set.

    Examples
    --------
    >>> too_short("rich")
    'The recording is too short for the rich features (10 s or more are needed).'
    """
    seconds = feature_set(name).min_samples / SAMPLE_RATE
    return f"The recording is too short for the {name} features ({seconds:.3g} s or more are needed)."


def is_long_enough(name: str, duration_s: np.ndarray, sample_rate: np.ndarray) -> np.ndarray:
    """Return which recordings are long enough for a feature set.

    Parameters
    ----------
    name : str
        The feature set.
    duration_s : np.ndarray [shape=(n,), float64]
        Durations in seconds; NaN where unknown, which is not long enough.
    sample_rate : np.ndarray [shape=(n,), float64]
        Sample rates of the files, in Hz.

    Returns
    -------
    is_long_enough : np.ndarray [shape=(n,), bool]
        Computed from the number of analysed samples, as in the featurizer.

    Examples
    --------
    >>> is_long_enough("rich", np.array([10.0, 9.99, np.nan]), np.array([44100.0] * 3)).tolist()
    [True, False, False]
    """
    samples = resampled_length(np.rint(duration_s * sample_rate), sample_rate)
    enough: np.ndarray = samples >= feature_set(name).min_samples
    return enough

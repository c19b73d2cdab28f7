"""Remarks on files that lack a feature set because they are too short for it."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
    return (
        f"The recording is too short for the {name} features ({seconds:.3g} s or more are needed)."
    )


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


def long_enough(name: str, files: pa.Table) -> np.ndarray:
    """Return which rows of ``files`` are of recordings that are long enough for a feature set."""
    seconds, rate = (
        pc.fill_null(files[column].cast(pa.float64()), np.nan).to_numpy()
        for column in ("duration_s", "sample_rate")
    )
    return is_long_enough(name, seconds, rate)


def with_remarks(files: pa.Table, names: Iterable[str]) -> pa.Table:
    """Return rows of ``files`` with a remark on each feature set that they are too short for.

    Examples
    --------
    >>> columns = {"status": ["ok"], "message": ["A note."], "duration_s": [2.0]}
    >>> files = pa.table({**columns, "sample_rate": [44100]})
    >>> with_remarks(files, ["gtzan", "rich"])["message"].to_pylist()
    ['A note. The recording is too short for the rich features (10 s or more are needed).']
    """
    is_ok = pc.and_(pc.equal(files["status"], "ok"), pc.is_valid(files["duration_s"]))
    messages = files["message"].cast(pa.string())
    for name in names:
        remark = too_short(name)
        lacks = pc.and_(is_ok, pc.invert(pa.array(long_enough(name, files))))
        is_said = pc.fill_null(pc.match_substring(messages, remark), False)
        joined = pc.binary_join_element_wise(messages, remark, " ", null_handling="skip")
        messages = pc.if_else(pc.and_(lacks, pc.invert(is_said)), joined, messages)
    return files.set_column(files.schema.get_field_index("message"), "message", messages)

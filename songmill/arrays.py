"""Features of one recording and neighbours of any matrix, computed in this process."""

import os
from typing import Literal, overload

import numpy as np
import numpy.typing as npt
import pandas as pd

from featurizer.columns import SAMPLE_RATE, SEGMENT_SECONDS
from featurizer.errors import RecordingError
from featurizer.extract import analyse, segment_step
from featurizer.feature_set import feature_set
from featurizer.mono_signal import MIN_SAMPLE_RATE, MonoSignal
from featurizer.process import single_thread
from featurizer.recording import Recording
from jobs import defaults
from jobs.errors import SongmillError, UsageError
from jobs.inputs.recordings import (
    check_feature_sets,
    check_level,
    check_segment_seconds,
    decode_recording,
)

Source = str | os.PathLike[str] | tuple[npt.ArrayLike, int]
"""A path or address, or samples with their rate in Hz."""


@overload
def features(
    recording: Source,
    *,
    segments: Literal[False] = False,
    segment_seconds: float = ...,
    features: str = ...,
) -> pd.Series: ...


@overload
def features(
    recording: Source,
    *,
    segments: Literal[True],
    segment_seconds: float = ...,
    features: str = ...,
) -> pd.DataFrame: ...


def features(
    recording: Source,
    *,
    segments: bool = False,
    segment_seconds: float = SEGMENT_SECONDS,
    features: str = "gtzan",
) -> pd.Series | pd.DataFrame:
    """Compute the features of a recording.

    Parameters
    ----------
    recording : str, path, or tuple of np.ndarray [shape=(n,) or (n_channels, n)] and int
        A file, an address that fsspec reads, or samples (full scale is 1) and their rate in Hz, as
        ``librosa.load`` returns them.
    segments : bool
        Whether to return the features of every segment instead of those of the whole recording.
    segment_seconds : float [range=(0.1, 600)]
        Length of a segment in seconds.
    features : str
        Name of the feature set: ``gtzan``, the 57 features of the published GTZAN tables, or
        ``rich``, 458 features of tracks of 10 s or more.

    Returns
    -------
    pd.Series [shape=(n_features,)] or pd.DataFrame [shape=(n_segments, n_features + 1)]
        Features by name, of the set's type; for segments, one row each, with ``start_s``, the start
        in seconds.

    Raises
    ------
    SongmillError
        The recording cannot be decoded or analysed, or is too short for the feature set.
    UsageError
        The samples have an unsupported shape or type, a segment is too short, or there is no such
        feature set, or it does not describe segments.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(4 * 22050) / 22050
    >>> tone = 0.5 * np.sin(2 * np.pi * 440 * t).astype(np.float32)
    >>> features((tone, 22050))[["rms_mean", "spectral_centroid_mean"]].round(2).to_dict()
    {'rms_mean': 0.35, 'spectral_centroid_mean': 443.99}
    >>> features((tone, 22050), segments=True, segment_seconds=2.0)["start_s"].tolist()
    [0.0, 2.0]
    """
    step = segment_step(check_segment_seconds(segment_seconds))
    [name] = check_feature_sets([features])
    check_level(name, "segment" if segments else "track")
    if isinstance(recording, tuple):
        with single_thread():
            try:
                samples = _from_samples(*recording)
                found = analyse(samples, sets=[name], segment_seconds=segment_seconds)
            except RecordingError as error:
                raise SongmillError(f"the samples give no features: {error.message}") from None
    else:
        with decode_recording(os.fspath(recording)) as decoded_recording:
            found = analyse(decoded_recording, sets=[name], segment_seconds=segment_seconds)
    values, columns = found.rows[name], list(feature_set(name).names)
    if not segments:
        if values.track is None:
            raise SongmillError(f"the recording gives no {name} features: {values.too_short}")
        return pd.Series(values.track, index=columns)
    rows = pd.DataFrame(values.segments, columns=columns)
    rows.insert(0, "start_s", np.arange(len(rows)) * (step / SAMPLE_RATE))
    return rows.rename_axis("segment")


def _from_samples(y: npt.ArrayLike, sample_rate: int) -> Recording:
    channels = np.atleast_2d(np.asarray(y))
    if channels.shape[2:] or not np.issubdtype(channels.dtype, np.floating):
        raise UsageError(
            f"samples of shape {channels.shape} and type {channels.dtype}: give floating-point "
            "samples of shape (n,) or (n_channels, n), full scale 1, and their rate in Hz"
        )
    if not channels.shape[1] or sample_rate < MIN_SAMPLE_RATE:
        raise UsageError(
            f"{channels.shape[1]} samples at {sample_rate} Hz: give at least one sample, at "
            f"{MIN_SAMPLE_RATE} Hz or more"
        )
    signal = MonoSignal(int(sample_rate), channels.shape[1] / sample_rate, None)
    signal.append_mean(channels.astype(np.float32, copy=False))
    seconds = signal.seconds
    return Recording(signal.finish(), seconds, signal.sample_rate, len(channels), None)


def nearest(X: npt.ArrayLike, k: int = defaults.NEIGHBOURS) -> tuple[np.ndarray, np.ndarray]:
    """Find the exact nearest neighbours of every row of a matrix, by cosine.

    The matrix of all pairs is never formed: memory grows with ``n * k``, not with ``n * n``.

    Parameters
    ----------
    X : array_like [shape=(n, d)]
        Finite vectors. Scale columns of different units first.
    k : int [range=[1, n)]
        Neighbours of each row.

    Returns
    -------
    indices : np.ndarray [shape=(n, k), int64]
        Rows of the neighbours, nearest first; ties by ascending index.
    cosines : np.ndarray [shape=(n, k), float64, range=[-1, 1]]
        Their cosines. A row of zeros has cosine 0 with every other.

    Raises
    ------
    UsageError
        ``X`` is not a matrix of finite numbers, or ``k`` is out of range.

    Examples
    --------
    >>> indices, cosines = nearest([[1.0, 0.0], [3.0, 4.0], [4.0, 3.0]], k=1)
    >>> indices.ravel().tolist(), cosines.ravel().round(2).tolist()
    ([2, 2, 1], [0.8, 0.96, 0.96])
    """
    from recommend import neighbours

    vectors = np.array(X, dtype=np.float64)
    if len(vectors.shape[1:]) != 1 or not np.isfinite(vectors).all():
        raise UsageError(f"X has the shape {vectors.shape}: give a matrix (n, d) of finite numbers")
    if not 1 <= k < len(vectors):
        raise UsageError(
            f"k is {k}, and X has {len(vectors)} rows: give two rows or more, and a k below their "
            "number"
        )
    # Scaled by the largest number first, so that no square overflows or vanishes.
    vectors /= np.maximum(np.abs(vectors).max(axis=1, keepdims=True), np.finfo(float).tiny)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(float).tiny)
    with single_thread():
        return neighbours.nearest(vectors, k).lists(0, len(vectors))

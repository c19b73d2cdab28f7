"""The features of a recording: a row for the track and one for each of its segments.

A segment is treated as a signal of its own, with its own reflected ends, tuning and loudest band.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from featurizer.analysis import signal_rows
from featurizer.columns import SAMPLE_RATE, SEGMENT_SECONDS
from featurizer.curves import Curves
from featurizer.deadline import Deadline
from featurizer.decoding import decode
from featurizer.errors import RecordingError
from featurizer.feature_set import DEFAULT_SETS, LEVELS, Level, feature_set
from featurizer.recording import Recording
from featurizer.stft import MIN_SAMPLES


@dataclass(frozen=True)
class FeatureRows:
    """The rows of a recording in one feature set.

    Attributes
    ----------
    track : np.ndarray [shape=(n_columns,)] or None
        Features of the whole recording, in the order and of the type of the set's columns; None if
        the recording is too short for the set, or this level was not computed.
    segments : np.ndarray [shape=(n_segments, n_columns)]
        Features of its segments; no rows if it is shorter than one segment, if the set does not
        describe segments, or if this level was not computed.
    too_short : str or None
        Why there is no track row, for the user.
    """

    track: npt.NDArray[np.floating] | None
    segments: npt.NDArray[np.floating]
    too_short: str | None


@dataclass(frozen=True)
class Features:
    """The features of a recording and its metadata.

    Attributes
    ----------
    rows : dict of str to FeatureRows
        The rows in each chosen feature set.
    length : int
        Analysed samples, at 22,050 Hz.
    segment_length : int
        Samples per segment.
    segment_step : int
        Samples from the start of one segment to the start of the next.
    duration_s : float
        Length of the recording in seconds.
    sample_rate : int
        Sample rate of the file, in Hz.
    channels : int
        Channels of the file.
    note : str or None
        A remark for the user about a recording that is analysed but unusual.
    """

    rows: dict[str, FeatureRows]
    length: int
    segment_length: int
    segment_step: int
    duration_s: float
    sample_rate: int
    channels: int
    note: str | None


def segment_step(segment_seconds: float) -> int:
    """Return the number of samples from one segment's start to the next.

    Parameters
    ----------
    segment_seconds : float
        Length of a segment in seconds; at least 1,026 samples at 22,050 Hz.

    Returns
    -------
    step : int
        Samples at 22,050 Hz.

    Raises
    ------
    ValueError
        If a segment is too short for analysis.

    Examples
    --------
    >>> segment_step(3.0)
    66150
    """
    shortest = (MIN_SAMPLES + 1) / SAMPLE_RATE
    samples = SAMPLE_RATE * segment_seconds
    if not np.isfinite(samples) or round(samples) <= MIN_SAMPLES:
        # Round up, so that a segment of the stated length can be analysed.
        raise ValueError(
            f"A segment of {segment_seconds:g} seconds cannot be analysed; "
            f"the shortest is {np.ceil(shortest * 1e4) / 1e4:g} seconds."
        )
    return round(samples)


def segment_length(segment_seconds: float) -> int:
    """Return the number of samples of a segment.

    Parameters
    ----------
    segment_seconds : float
        As for :func:`segment_step`.

    Returns
    -------
    length : int
        Samples at 22,050 Hz: one less than the step, as in the published table.

    Raises
    ------
    ValueError
        If a segment is too short for analysis.

    Examples
    --------
    >>> segment_length(3.0)
    66149
    """
    return segment_step(segment_seconds) - 1


def extract(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    sets: Sequence[str] = DEFAULT_SETS,
    segment_seconds: float = SEGMENT_SECONDS,
    levels: Sequence[Level] = LEVELS,
    deadline: Deadline | None = None,
) -> Features:
    """Decode a recording and compute its features.

    Parameters
    ----------
    source : path or binary file
        The recording, in any format that :func:`featurizer.decoding.decode` reads.
    sets : sequence of str
        Names of feature sets.
    segment_seconds : float
        Length of a segment in seconds.
    levels : sequence of Level
        Levels to compute.
    deadline : Deadline, optional
        Checked once per block.

    Returns
    -------
    features : Features
        Finite in every column.

    Raises
    ------
    RecordingError
        If the recording cannot be decoded or yields no features; its kind gives the reason.
    ValueError
        If a feature set does not exist, or segments are too short for analysis.

    Examples
    --------
    >>> import io
    >>> import soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros(66149), 22050, format="WAV")
    >>> rows = extract(file, sets=["gtzan", "rich"]).rows
    >>> rows["gtzan"].track.shape, rows["gtzan"].segments.shape
    ((57,), (1, 57))
    >>> print(rows["rich"].track, rows["rich"].too_short)
    None The recording has 2.99 seconds; rich features need at least 10. Use a longer recording.
    """
    _check(sets, segment_seconds)  # before reading the recording
    recording = decode(source, deadline=deadline)
    return analyse(
        recording, sets=sets, segment_seconds=segment_seconds, levels=levels, deadline=deadline
    )


def analyse(
    recording: Recording,
    *,
    sets: Sequence[str] = DEFAULT_SETS,
    segment_seconds: float = SEGMENT_SECONDS,
    levels: Sequence[Level] = LEVELS,
    deadline: Deadline | None = None,
    curves: Curves | None = None,
) -> Features:
    """Compute the features of a decoded recording.

    Parameters
    ----------
    recording : Recording
        From :func:`featurizer.decoding.decode`.
    sets : sequence of str
        Names of feature sets.
    segment_seconds : float
        Length of a segment in seconds.
    levels : sequence of Level
        Levels to compute.
    deadline : Deadline, optional
        Checked once per block.
    curves : Curves, optional
        Output: the per-frame values behind the features of the track. Must have been created for
        the recording's signal.

    Returns
    -------
    features : Features
        Finite in every column.

    Raises
    ------
    RecordingError
        Of kind ``too-short``, ``not-finite`` or ``timeout``.
    ValueError
        If a feature set does not exist, or segments are too short for analysis.

    Examples
    --------
    >>> recording = Recording(np.zeros(22050, dtype=np.float32), 1.0, 44100, 2, None)
    >>> features = analyse(recording, segment_seconds=0.25)
    >>> features.rows["gtzan"].segments.shape, features.segment_length, features.channels
    ((4, 57), 5511, 2)
    """
    step = segment_step(segment_seconds)
    return Features(
        rows=features(
            recording.y,
            sets=sets,
            segment_seconds=segment_seconds,
            levels=levels,
            deadline=deadline,
            curves=curves,
        ),
        length=len(recording.y),
        segment_length=step - 1,
        segment_step=step,
        duration_s=recording.duration_s,
        sample_rate=recording.sample_rate,
        channels=recording.channels,
        note=recording.note,
    )


def features(
    y: npt.NDArray[np.float32],
    *,
    sets: Sequence[str] = DEFAULT_SETS,
    segment_seconds: float = SEGMENT_SECONDS,
    levels: Sequence[Level] = LEVELS,
    deadline: Deadline | None = None,
    curves: Curves | None = None,
) -> dict[str, FeatureRows]:
    """Compute the features of a signal and of its segments.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz.
    sets : sequence of str
        Names of feature sets.
    segment_seconds : float
        Length of a segment in seconds.
    levels : sequence of Level
        Levels to compute.
    deadline : Deadline, optional
        Checked once per block.
    curves : Curves, optional
        Output: the per-frame values behind the features of the track; created for this signal.

    Returns
    -------
    rows : dict of str to FeatureRows
        The rows in each feature set.

    Raises
    ------
    RecordingError
        Of kind ``too-short`` below 1,025 samples, ``not-finite`` if a feature is infinite or NaN,
        or ``timeout`` after the deadline.
    ValueError
        If a feature set does not exist, segments are too short for analysis, or the signal has
        more than one channel.

    Examples
    --------
    >>> y = np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(22050)).astype(np.float32)
    >>> rows = features(y, sets=["gtzan"], segment_seconds=0.5)["gtzan"]
    >>> rows.segments.shape
    (2, 57)
    >>> print(round(rows.track[feature_set("gtzan").names.index("rms_mean")], 2))
    0.71
    """
    step = _check(sets, segment_seconds)
    y = np.ascontiguousarray(y, dtype=np.float32)
    if y.ndim != 1:
        raise ValueError(f"The signal must have one channel, not the shape {y.shape}.")
    if len(y) < MIN_SAMPLES:
        raise RecordingError(
            "too-short",
            f"The recording has {len(y):,} samples at {SAMPLE_RATE:,} Hz; at least {MIN_SAMPLES:,}"
            " are needed. Use a longer recording.",
        )
    too_short = {name: feature_set(name).too_short(len(y)) for name in sets}
    long_enough = [name for name in sets if "track" in levels and not too_short[name]]
    tracks = signal_rows(y, long_enough, deadline=deadline, curves=curves) if long_enough else {}
    of_segments = [
        name
        for name in sets
        if "segment" in levels
        and "segment" in feature_set(name).levels
        and not feature_set(name).too_short(step - 1)
    ]
    segments = [
        signal_rows(y[start : start + step - 1], of_segments, deadline=deadline)
        for start in range(0, len(y) - step + 2, step)
        if of_segments
    ]
    return {
        name: FeatureRows(
            tracks.get(name),
            np.array(
                [rows[name] for rows in segments if name in rows], dtype=feature_set(name).dtype
            ).reshape(-1, len(feature_set(name).columns)),
            too_short[name],
        )
        for name in sets
    }


def _check(sets: Sequence[str], segment_seconds: float) -> int:
    """Return the step of segments; ValueError if a set does not exist or a segment is too short."""
    for name in sets:
        feature_set(name)
    return segment_step(segment_seconds)

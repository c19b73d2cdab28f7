"""All features of a recording: one row for the track and one for each of its segments.

A signal is gone through twice, a block of frames at a time. The first pass finds what only the
whole signal tells: its tuning and its loudest mel band. The second takes the statistics. A segment
is a signal of its own, with its own mirrored ends, tuning and loudest band.
"""

import os
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from featurizer.chroma import chroma
from featurizer.columns import FEATURE_COLUMNS, N_MFCC, SAMPLE_RATE, SEGMENT_SECONDS
from featurizer.curves import Curves
from featurizer.deadline import Deadline
from featurizer.decoding import decode
from featurizer.errors import RecordingError
from featurizer.filters import N_MELS
from featurizer.hpss import HarmonicPercussive
from featurizer.median import HALO
from featurizer.mel import decibels, mel_power
from featurizer.mfcc import mfcc
from featurizer.moments import Moments
from featurizer.onset import ONSET_DELAY, onset_strength
from featurizer.recording import Recording
from featurizer.spectral import spectral_shape
from featurizer.spectrogram import LatestFrames
from featurizer.stft import MIN_SAMPLES, MOST_FRAMES, N_BINS, blocks, n_frames, stft
from featurizer.tempo import tempo
from featurizer.tuning import TuningEstimate
from featurizer.waveform import rms_and_zero_crossings

# Spectra, magnitudes, powers and mel bands of some frames.
_Block = tuple[
    npt.NDArray[np.complex64],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
]


@dataclass(frozen=True)
class Features:
    """What a recording gave.

    Attributes
    ----------
    track : np.ndarray [shape=(57,), float64]
        The whole recording's features, in the order of
        :data:`featurizer.columns.FEATURE_COLUMNS`.
    segments : np.ndarray [shape=(n_segments, 57), float64]
        Those of its segments; no rows where it is shorter than one segment.
    length : int
        Samples that were analysed, at 22,050 Hz.
    segment_length : int
        Samples of a segment.
    segment_step : int
        Samples from the start of a segment to the next one's.
    duration_s : float
        Length of the recording in seconds.
    sample_rate : int
        The recording's own samples a second.
    channels : int
        The recording's own channels.
    note : str or None
        What was odd about the recording and did not keep it from being analysed.
    """

    track: npt.NDArray[np.float64]
    segments: npt.NDArray[np.float64]
    length: int
    segment_length: int
    segment_step: int
    duration_s: float
    sample_rate: int
    channels: int
    note: str | None


def segment_step(segment_seconds: float) -> int:
    """Count the samples from one segment's start to the next one's.

    Parameters
    ----------
    segment_seconds : float
        Length of a segment; at least 1,026 samples at 22,050 Hz.

    Returns
    -------
    step : int
        Samples at 22,050 Hz.

    Raises
    ------
    ValueError
        If a segment would be too short to be analysed.
    """
    shortest = (MIN_SAMPLES + 1) / SAMPLE_RATE
    if not np.isfinite(segment_seconds) or round(SAMPLE_RATE * segment_seconds) <= MIN_SAMPLES:
        # Rounded up, so that what is named is enough.
        raise ValueError(
            f"a segment of {segment_seconds:g} seconds cannot be analysed; "
            f"the shortest is {np.ceil(shortest * 1e4) / 1e4:g} seconds"
        )
    return round(SAMPLE_RATE * segment_seconds)


def segment_length(segment_seconds: float) -> int:
    """Count the samples of a segment.

    Parameters
    ----------
    segment_seconds : float
        As for :func:`segment_step`.

    Returns
    -------
    length : int
        One sample less than the step, as in the published table.

    Raises
    ------
    ValueError
        If a segment would be too short to be analysed.
    """
    return segment_step(segment_seconds) - 1


def extract(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    segment_seconds: float = SEGMENT_SECONDS,
    deadline: Deadline | None = None,
) -> Features:
    """Decode a recording and compute its features.

    Parameters
    ----------
    source : path or binary file
        The recording, in any format that :func:`featurizer.decoding.decode` reads.
    segment_seconds : float
        Length of a segment.
    deadline : Deadline, optional
        When to give up.

    Returns
    -------
    features : Features
        Finite in every column.

    Raises
    ------
    RecordingError
        If the recording cannot be decoded or gives no features; its kind says why.
    ValueError
        If segments would be too short to be analysed.
    """
    segment_step(segment_seconds)  # refused before the recording is read
    recording = decode(source, deadline=deadline)
    return analyse(recording, segment_seconds=segment_seconds, deadline=deadline)


def analyse(
    recording: Recording,
    *,
    segment_seconds: float = SEGMENT_SECONDS,
    deadline: Deadline | None = None,
    curves: Curves | None = None,
) -> Features:
    """Compute the features of a recording that is decoded.

    Parameters
    ----------
    recording : Recording
        From :func:`featurizer.decoding.decode`.
    segment_seconds : float
        Length of a segment.
    deadline : Deadline, optional
        When to give up.
    curves : Curves, optional
        Of the recording's signal: is filled with what the features of the track are statistics of.

    Returns
    -------
    features : Features
        Finite in every column.

    Raises
    ------
    RecordingError
        ``too-short``, ``not-finite`` or ``timeout``.
    ValueError
        If segments would be too short to be analysed.
    """
    step = segment_step(segment_seconds)
    track, segments = features(
        recording.y, segment_seconds=segment_seconds, deadline=deadline, curves=curves
    )
    return Features(
        track=track,
        segments=segments,
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
    segment_seconds: float = SEGMENT_SECONDS,
    deadline: Deadline | None = None,
    curves: Curves | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Compute the features of a signal and of its segments.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32]
        Mono signal at 22,050 Hz.
    segment_seconds : float
        Length of a segment.
    deadline : Deadline, optional
        When to give up; it is looked at once a block.
    curves : Curves, optional
        Of the signal: is filled with what the features of the track are statistics of.

    Returns
    -------
    track : np.ndarray [shape=(57,), float64]
        Features of the whole signal.
    segments : np.ndarray [shape=(n_segments, 57), float64]
        Features of each segment of which all samples are there.

    Raises
    ------
    RecordingError
        ``too-short`` below 1,025 samples; ``not-finite`` where a feature is infinite or not a
        number; ``timeout`` past the deadline.
    ValueError
        If segments would be too short to be analysed, or the signal is not one channel.
    """
    step = segment_step(segment_seconds)
    y = np.ascontiguousarray(y, dtype=np.float32)
    if y.ndim != 1:
        raise ValueError(f"a signal has one channel, not the shape {y.shape}")
    if len(y) < MIN_SAMPLES:
        raise RecordingError(
            "too-short",
            f"{len(y):,} samples at {SAMPLE_RATE:,} Hz; at least {MIN_SAMPLES:,} are needed",
        )
    track = signal_features(y, deadline, curves=curves)
    segments = np.empty((max(0, (len(y) + 1) // step), len(FEATURE_COLUMNS)))
    for i in range(len(segments)):
        segments[i] = signal_features(y[i * step : i * step + step - 1], deadline)
    return track, segments


def signal_features(
    y: npt.NDArray[np.float32],
    deadline: Deadline | None = None,
    *,
    curves: Curves | None = None,
) -> npt.NDArray[np.float64]:
    """Compute the features of a signal without segments.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32, C-contiguous]
        Mono signal at 22,050 Hz; ``n > 1024``.
    deadline : Deadline, optional
        When to give up; it is looked at once a block.
    curves : Curves, optional
        Is filled with what the features are statistics of.

    Returns
    -------
    row : np.ndarray [shape=(57,), float64]
        Its features.

    Raises
    ------
    RecordingError
        ``not-finite`` where a feature is infinite or not a number; ``timeout`` past the deadline.
    """
    # Samples too large for single precision overflow; the result says so below.
    with np.errstate(over="ignore", invalid="ignore"):
        row = _features_of(y, deadline, curves)
    if not np.isfinite(row).all():
        column = FEATURE_COLUMNS[int(np.isfinite(row).argmin())]
        raise RecordingError(
            "not-finite",
            f"{column} is not a finite number: samples are not finite, or far beyond full scale",
        )
    return row


def _features_of(
    y: npt.NDArray[np.float32], deadline: Deadline | None, curves: Curves | None
) -> npt.NDArray[np.float64]:
    n = n_frames(len(y))
    powers = LatestFrames("power spectrogram", n, N_BINS, margin=HALO + MOST_FRAMES)
    mels = LatestFrames("mel spectrogram", n, N_MELS, margin=0)
    tuning_estimate = TuningEstimate()
    parts = HarmonicPercussive(y, powers, n, curves.percussive if curves else None)
    # Level, centroid, bandwidth, roll-off and zero-crossing rate.
    frame_values = Moments(5)
    loudest = np.float32(0)

    def transform(start: int, stop: int) -> _Block:
        P, mel = powers.append(stop - start), mels.append(stop - start)
        D, S = stft(y, start, P)
        mel_power(P, mel)
        return D, S, P, mel

    for start, stop in blocks(n):
        if deadline:
            deadline.check()
        D, S, P, mel = transform(start, stop)
        tuning_estimate.add(P)
        loudest = np.maximum(loudest, mel.max())
        values = np.empty((stop - start, 5))
        values[:, 0], values[:, 4] = rms_and_zero_crossings(y, start, stop)
        spectral_shape(S, values[:, 1:4])
        frame_values.add(values)
        parts.add(start, D)
        if curves:
            curves.frames[start:stop] = values
            curves.average(curves.power, start, P)

    tuning = tuning_estimate.tuning()
    pitch_classes = Moments(1)
    coefficients = Moments(N_MFCC)
    onsets = np.zeros(n + ONSET_DELAY, dtype=np.float32)
    before = None
    for start, stop in blocks(n):
        if deadline:
            deadline.check()
        if powers.whole:
            P, mel = powers[start:stop], mels[start:stop]
        else:
            _, _, P, mel = transform(start, stop)
        C = chroma(P, tuning=tuning)
        pitch_classes.add(C.reshape(-1, 1))
        db = decibels(mel, loudest)
        M = mfcc(db)
        coefficients.add(M)
        if curves:
            curves.average(curves.chroma, start, C)
            curves.average(curves.mel_db, start, db)
            curves.average(curves.mfcc, start, M)
        before = db[0] if before is None else before
        onset_strength(db, before, onsets[start + ONSET_DELAY - 1 : stop + ONSET_DELAY - 1])
        before = db[-1]
    # The first frame has none before it, and what is shifted beyond the last frame is dropped.
    onset_envelope = onsets[:n]
    if curves:
        curves.onset_strength[:] = onset_envelope
    return np.concatenate(
        [
            pitch_classes.interleaved(),
            frame_values.interleaved(),
            parts.moments.interleaved(),
            [tempo(onset_envelope)],
            coefficients.interleaved(),
        ]
    )

"""All features of a recording: one row for the track and one for each of its segments.

A signal is processed in two passes, block by block. The first estimates the tuning and the loudest
mel band, which depend on the whole signal; the second computes the features that need them. A
segment is treated as a signal of its own, with its own reflected ends, tuning and loudest band.
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
from featurizer.stft import MAX_BLOCK_FRAMES, MIN_SAMPLES, N_BINS, blocks, n_frames, stft
from featurizer.tempo import tempo
from featurizer.tuning import TuningEstimate
from featurizer.waveform import rms_and_zero_crossings

# Spectra, magnitudes, power and mel bands of a block of frames.
_Block = tuple[
    npt.NDArray[np.complex64],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
    npt.NDArray[np.float32],
]


@dataclass(frozen=True)
class Features:
    """The features of a recording and its metadata.

    Attributes
    ----------
    track : np.ndarray [shape=(57,), float64]
        Features of the whole recording, in the order of
        :data:`featurizer.columns.FEATURE_COLUMNS`.
    segments : np.ndarray [shape=(n_segments, 57), float64]
        Features of its segments; no rows if it is shorter than one segment.
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
    segment_seconds: float = SEGMENT_SECONDS,
    deadline: Deadline | None = None,
) -> Features:
    """Decode a recording and compute its features.

    Parameters
    ----------
    source : path or binary file
        The recording, in any format that :func:`featurizer.decoding.decode` reads.
    segment_seconds : float
        Length of a segment in seconds.
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
        If segments are too short for analysis.

    Examples
    --------
    >>> import io
    >>> import soundfile
    >>> file = io.BytesIO()
    >>> soundfile.write(file, np.zeros(66149), 22050, format="WAV")
    >>> features = extract(file)
    >>> features.track.shape, features.segments.shape
    ((57,), (1, 57))
    """
    segment_step(segment_seconds)  # rejects invalid lengths before reading the recording
    recording = decode(source, deadline=deadline)
    return analyse(recording, segment_seconds=segment_seconds, deadline=deadline)


def analyse(
    recording: Recording,
    *,
    segment_seconds: float = SEGMENT_SECONDS,
    deadline: Deadline | None = None,
    curves: Curves | None = None,
) -> Features:
    """Compute the features of a decoded recording.

    Parameters
    ----------
    recording : Recording
        From :func:`featurizer.decoding.decode`.
    segment_seconds : float
        Length of a segment in seconds.
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
        If segments are too short for analysis.

    Examples
    --------
    >>> recording = Recording(np.zeros(22050, dtype=np.float32), 1.0, 44100, 2, None)
    >>> features = analyse(recording, segment_seconds=0.25)
    >>> features.segments.shape, features.segment_length, features.channels
    ((4, 57), 5511, 2)
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
        Length of a segment in seconds.
    deadline : Deadline, optional
        Checked once per block.
    curves : Curves, optional
        Output: the per-frame values behind the features of the track; created for this signal.

    Returns
    -------
    track : np.ndarray [shape=(57,), float64]
        Features of the whole signal.
    segments : np.ndarray [shape=(n_segments, 57), float64]
        Features of each complete segment.

    Raises
    ------
    RecordingError
        Of kind ``too-short`` below 1,025 samples, ``not-finite`` if a feature is infinite or NaN,
        or ``timeout`` after the deadline.
    ValueError
        If segments are too short for analysis, or the signal has more than one channel.

    Examples
    --------
    >>> y = np.sin(2 * np.pi * 440 / SAMPLE_RATE * np.arange(22050)).astype(np.float32)
    >>> track, segments = features(y, segment_seconds=0.5)
    >>> segments.shape
    (2, 57)
    >>> print(round(track[FEATURE_COLUMNS.index("rms_mean")], 2))
    0.71
    """
    step = segment_step(segment_seconds)
    y = np.ascontiguousarray(y, dtype=np.float32)
    if y.ndim != 1:
        raise ValueError(f"The signal must have one channel, not the shape {y.shape}.")
    if len(y) < MIN_SAMPLES:
        raise RecordingError(
            "too-short",
            f"The recording has {len(y):,} samples at {SAMPLE_RATE:,} Hz; at least {MIN_SAMPLES:,}"
            " are needed. Use a longer recording.",
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
    """Compute the features of one signal, without segments.

    Parameters
    ----------
    y : np.ndarray [shape=(n,), float32, C-contiguous]
        Mono signal at 22,050 Hz; ``n > 1024``.
    deadline : Deadline, optional
        Checked once per block.
    curves : Curves, optional
        Output: the per-frame values behind the features; created for this signal.

    Returns
    -------
    row : np.ndarray [shape=(57,), float64]
        The features, in the order of :data:`featurizer.columns.FEATURE_COLUMNS`.

    Raises
    ------
    RecordingError
        Of kind ``not-finite`` if a feature is infinite or NaN, or ``timeout`` after the deadline.

    Examples
    --------
    >>> row = signal_features(np.full(22050, 0.5, dtype=np.float32))
    >>> print(row[FEATURE_COLUMNS.index("rms_mean")])
    0.5
    """
    # Very large samples overflow single precision; the check below reports them.
    with np.errstate(over="ignore", invalid="ignore"):
        row = _features_of(y, deadline, curves)
    if not np.isfinite(row).all():
        column = FEATURE_COLUMNS[int(np.isfinite(row).argmin())]
        raise RecordingError(
            "not-finite",
            f"The feature {column} is not a finite number. Check the samples: some are not finite"
            " or far beyond full scale.",
        )
    return row


def _features_of(
    y: npt.NDArray[np.float32], deadline: Deadline | None, curves: Curves | None
) -> npt.NDArray[np.float64]:
    n = n_frames(len(y))
    powers = LatestFrames("power spectrogram", n, N_BINS, margin=HALO + MAX_BLOCK_FRAMES)
    mels = LatestFrames("mel spectrogram", n, N_MELS, margin=0)
    tuning_estimate = TuningEstimate()
    parts = HarmonicPercussive(y, powers, n, curves.percussive if curves else None)
    # Level, centroid, bandwidth, roll-off, zero-crossing rate.
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
    previous = None
    for start, stop in blocks(n):
        if deadline:
            deadline.check()
        if powers.complete:
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
        previous = db[0] if previous is None else previous
        onset_strength(db, previous, onsets[start + ONSET_DELAY - 1 : stop + ONSET_DELAY - 1])
        previous = db[-1]
    # The first frame has no predecessor; values shifted beyond the last frame are dropped.
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

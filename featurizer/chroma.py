"""Pitch classes: how far a recording is off concert pitch, and its chroma."""

import numpy as np
import numpy.typing as npt

from featurizer.columns import SAMPLE_RATE
from featurizer.compiled import compiled
from featurizer.filters import CONCERT_PITCH, N_CHROMA, N_TUNINGS, chroma_filters
from featurizer.stft import N_FFT

_TUNINGS = np.linspace(-0.5, 0.5, N_TUNINGS + 1)
_HZ_PER_BIN = SAMPLE_RATE / N_FFT

# Pitches are looked for between 150 Hz and 4 kHz, in peaks of at least a tenth of a frame's power.
_FIRST_BIN = int(np.ceil(150.0 / _HZ_PER_BIN))
_STOP_BIN = int(np.ceil(4000.0 / _HZ_PER_BIN))
_THRESHOLD = np.float32(0.1)
_HALF = np.float32(0.5)
_TINY = float(np.finfo(np.float32).tiny)

# Octaves are counted from the A four below concert pitch.
_A0 = CONCERT_PITCH / 16

_BUCKET_BITS = 16


class TuningEstimate:
    """The tuning of a signal whose spectra arrive in blocks.

    Gives what ``librosa.estimate_tuning(S=P, bins_per_octave=12)`` gives for the whole power
    spectrogram: the most frequent deviation from equal temperament among the spectral peaks [1]_
    that are at least as strong as the median peak. Kept of each peak are its power and the index of
    its deviation, 5 bytes.

    .. [1] Smith, J. O. "Quadratic Interpolation of Spectral Peaks." Spectral Audio Signal
       Processing, W3K Publishing, 2011.
    """

    def __init__(self) -> None:
        self._powers: list[npt.NDArray[np.float32]] = []
        self._deviations: list[npt.NDArray[np.uint8]] = []

    def add(self, P: npt.NDArray[np.float32]) -> None:
        """Take in a block of spectra.

        Parameters
        ----------
        P : np.ndarray [shape=(n_frames, 1025), float32]
            Power.
        """
        pitches, powers = _peaks(P)
        residuals = np.mod(np.float32(N_CHROMA) * np.log2(pitches / np.float32(_A0)), 1)
        residuals[residuals >= _HALF] -= 1
        deviations = np.searchsorted(_TUNINGS, residuals, side="right") - 1
        self._powers.append(powers)
        self._deviations.append(deviations.astype(np.uint8))

    def tuning(self) -> float:
        """Estimate the tuning from the blocks so far.

        Returns
        -------
        tuning : float, -0.5 … 0.49
            In semitones, a multiple of 0.01; 0 where there is no peak.
        """
        if not any(len(powers) for powers in self._powers):
            return 0.0
        threshold = median_of_positive(self._powers)
        counts = np.zeros(N_TUNINGS, dtype=np.int64)
        for powers, deviations in zip(self._powers, self._deviations, strict=True):
            counts += np.bincount(deviations[powers >= threshold], minlength=N_TUNINGS)
        return float(_TUNINGS[counts.argmax()])


def median_of_positive(chunks: list[npt.NDArray[np.float32]]) -> np.float32:
    """Take the median of many numbers without a copy of them all.

    Parameters
    ----------
    chunks : list of np.ndarray [shape=(n,), float32, > 0]
        At least one number in all.

    Returns
    -------
    median : np.float32
        What ``np.median`` of all of them is.
    """
    # Positive floats are ordered as their bits are: the upper half of the bits says in which of
    # 65,536 buckets a number lies, and only the bucket of the median is looked at in full.
    counts = np.zeros(1 << _BUCKET_BITS, dtype=np.int64)
    for chunk in chunks:
        counts += np.bincount(chunk.view(np.uint32) >> _BUCKET_BITS, minlength=len(counts))
    ends = counts.cumsum()
    n = int(ends[-1])
    ranks = np.array([(n - 1) // 2, n // 2])
    low, high = np.searchsorted(ends, ranks, side="right")
    middle = np.concatenate(
        [
            chunk[((bits := chunk.view(np.uint32) >> _BUCKET_BITS) >= low) & (bits <= high)]
            for chunk in chunks
        ]
    )
    middle.sort()
    before = ends[low] - counts[low]
    return np.float32(middle[ranks - before].mean())


@compiled
def _peaks(
    P: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    # Mixed precision as in librosa.piptrack, since a peak that lies between two of the hundred
    # tunings is decided by it: sums of neighbours in single, the parabola in double.
    n_frames, n_bins = P.shape
    size = 0
    pitches = np.empty(n_frames * (_STOP_BIN - _FIRST_BIN), dtype=np.float32)
    powers = np.empty_like(pitches)
    for t in range(n_frames):
        peak = P[t, 0]
        for k in range(1, n_bins):
            peak = P[t, k] if P[t, k] > peak else peak
        reference = _THRESHOLD * peak
        for k in range(_FIRST_BIN, _STOP_BIN):
            here, before, after = P[t, k], P[t, k - 1], P[t, k + 1]
            if not (here > reference and here > before and here >= after):
                continue
            curvature = np.float64(after + before) - 2.0 * np.float64(here)
            slope = np.float64(after - before) / 2.0
            shift = np.float32(0)
            if not abs(slope) >= abs(curvature):
                shift = np.float32(-slope / curvature)
            pitches[size] = np.float32((k + np.float64(shift)) * _HZ_PER_BIN)
            powers[size] = here + _HALF * (_HALF * (after - before)) * shift
            size += 1
    return pitches[:size].copy(), powers[:size].copy()


def chroma(P: npt.NDArray[np.float32], *, tuning: float) -> npt.NDArray[np.float32]:
    """Fold spectra into the twelve pitch classes.

    Parameters
    ----------
    P : np.ndarray [shape=(n_frames, 1025), float32]
        Power.
    tuning : float, -0.5 … 0.5
        Deviation from concert pitch in semitones.

    Returns
    -------
    C : np.ndarray [shape=(n_frames, 12), float32, 0 … 1]
        Energy of each pitch class, from C to B, over that of the frame's strongest one; 0 in a
        silent frame.
    """
    raw = P @ chroma_filters(tuning)
    strongest = raw.max(axis=1, keepdims=True).astype(np.float64)
    strongest[strongest < _TINY] = 1.0
    C: npt.NDArray[np.float32] = (raw / strongest).astype(np.float32)
    return C
